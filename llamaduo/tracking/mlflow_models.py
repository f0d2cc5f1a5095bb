"""The registry of models in MLflow: a champion's bundle, registered and fetched."""

import json
import platform
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from sqlalchemy.exc import SQLAlchemyError

from llamaduo.base.errors import RegistryError
from llamaduo.tracking.protocol import ALIAS, Promotion, Run, no_champion

FINGERPRINT = "llamaduo.fingerprint"
BUNDLE = "artifacts/bundle"
# Enough to answer requests with; the rest of llamaduo's dependencies come with llamaduo.
SERVED_WITH = ("llamaduo", "mlflow", "torch", "transformers", "peft", "bitsandbytes")


class MlflowModels:
    """The models that MLflow holds at `uri`; `home` is for locks and scratch files.

    `served` says that a server stands before the database, and decides where artifacts lie.
    """

    def __init__(self, client: MlflowClient, uri: str, home: Path, *, served: bool) -> None:
        self._client = client
        self._uri = uri
        self._home = home
        self._served = served

    def promote(
        self,
        run: Run,
        bundle: Path,
        *,
        code: Path,
        model: str,
        fingerprint: str,
        tags: Mapping[str, str],
        alias: str,
    ) -> Promotion:
        """See `Tracker.promote`."""
        try:
            with FileLock(self._home / "promote.lock"):
                same = f"name = '{model}' and tags.`{FINGERPRINT}` = '{fingerprint}'"
                versions = self._client.search_model_versions(same)
                all_tags = {**tags, FINGERPRINT: fingerprint}
                version = (
                    str(versions[0].version)
                    if versions
                    else self._register(run, bundle, code, model, all_tags)
                )
                self._client.set_registered_model_alias(model, alias, version)
        except (MlflowException, SQLAlchemyError, OSError) as error:
            raise RegistryError(
                f"{model}: the registry at {self._uri} did not take it ({first_line(error)}); "
                "the migration is kept, so the same command tries again"
            ) from error
        return Promotion(model=model, version=version, uri=f"models:/{model}@{alias}")

    def _register(
        self, run: Run, bundle: Path, code: Path, model: str, tags: Mapping[str, str]
    ) -> str:
        """Register a bundle as a new version of a model; return the version's number."""
        client = self._client
        with suppress(MlflowException):  # it is there already
            client.create_registered_model(model)
        experiment_id = client.get_run(run.id).info.experiment_id
        logged = client.create_logged_model(experiment_id, model, run.id, tags=dict(tags))
        client.log_outputs(run.id, [LoggedModelOutput(logged.model_id, step=0)])
        with tempfile.TemporaryDirectory(dir=self._home, prefix="model-") as scratch:
            _write_model(
                Path(scratch),
                code,
                Model(
                    artifact_path=logged.artifact_location,
                    model_uuid=logged.model_id,
                    run_id=run.id,
                    model_id=logged.model_id,
                ),
            )
            client.log_model_artifacts(logged.model_id, scratch)
        client.log_model_artifacts(logged.model_id, str(bundle), BUNDLE)
        client.finalize_logged_model(logged.model_id, "READY")
        # A database would look the model's address up in the process's own tracking address.
        by_id = f"models:/{logged.model_id}"
        version = client.create_model_version(
            model,
            source=by_id if self._served else logged.artifact_location,
            run_id=run.id,
            tags=dict(tags),
            model_id=logged.model_id,
        )
        # MLflow's page of a model reads this to show the version that it was registered as.
        registered = json.dumps([{"name": model, "version": version.version}])
        client.set_logged_model_tags(logged.model_id, {"mlflow.modelVersions": registered})
        return str(version.version)

    def champion(self, model: str) -> Path:
        """See `Tracker.champion`."""
        try:
            version = self._client.get_model_version_by_alias(model, ALIAS)
        except MlflowException as error:
            raise no_champion(model) from error
        try:
            place = self._client.get_model_version_download_uri(model, version.version)
            folder = mlflow.artifacts.download_artifacts(place, tracking_uri=self._uri)
        except (MlflowException, OSError) as error:
            raise RegistryError(
                f"models:/{model}@{ALIAS}: version {version.version} cannot be loaded "
                f"({first_line(error)}); promote it again, or point the alias at another version"
            ) from error
        return Path(folder) / BUNDLE


def _write_model(folder: Path, code: Path, model: Model) -> None:
    """Write the files that make a folder a model from code; its bundle comes apart.

    The same files as `mlflow.pyfunc.save_model` writes. That first reads the file names of every
    installed distribution, for half a second, and copies the bundle once more.
    """
    shutil.copyfile(code, folder / code.name)
    pinned = []
    for name in SERVED_WITH:
        with suppress(metadata.PackageNotFoundError):
            # Without the mark of a build ("+cpu"), which no index knows.
            pinned.append(f"{name}=={metadata.version(name).partition('+')[0]}")
    python = platform.python_version()
    environment = {
        "conda.yaml": {
            "channels": ["conda-forge"],
            "dependencies": [f"python={python}", "pip", {"pip": pinned}],
        },
        "python_env.yaml": {"python": python, "dependencies": ["-r requirements.txt"]},
    }
    for name, content in environment.items():  # JSON is YAML
        (folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "requirements.txt").write_text("\n".join(pinned) + "\n", encoding="utf-8")
    mlflow.pyfunc.add_to_model(
        model,
        loader_module="mlflow.pyfunc.loaders.code_model",
        model_code_path=code.name,
        artifacts={"bundle": {"path": BUNDLE, "uri": BUNDLE}},
        conda_env="conda.yaml",
        python_env="python_env.yaml",
    )
    model.save(str(folder / "MLmodel"))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return str(error).strip().partition("\n")[0]
