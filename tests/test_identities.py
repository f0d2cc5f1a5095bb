"""The fingerprints of stages, as they were before the packages: nothing that exists is lost.

A fingerprint moves only in a commit that raises a VERSION or changes shipped data, and then the
reason stands beside the new value here.
"""

import os
from pathlib import Path

import pytest
from support.experiments import FAKES, composed

from llamaduo import judge, local, service
from llamaduo.base.files import fingerprint
from llamaduo.config import Experiment
from llamaduo.judge import Item
from llamaduo.lab import Lab, Stage
from llamaduo.local import Training
from llamaduo.migration.loop import ANCHORED
from llamaduo.migration.yardsticks import copies
from llamaduo.records import Response
from llamaduo.run import run
from llamaduo.stages.answer import answer, request_of
from llamaduo.stages.collect import collect
from llamaduo.stages.dedup import dedup
from llamaduo.stages.finetune import Adapter, finetune
from llamaduo.stages.infer import infer
from llamaduo.stages.judge import anchor, assess
from llamaduo.stages.pack import pack
from llamaduo.stages.synthesize import synthesize
from llamaduo.tracking import MemoryTracker

FAKE_RUN = {
    ("collect", "", None): "567c1ca95a317357",
    ("anchor", "", None): "46d0830055b6ba0b",
    ("answer", "service · dev", None): "98b4bfd777719460",
    ("judge", "service · dev", None): "124a678835d860bb",
    ("finetune", "", 0): "03307e98736edc4a",
    ("infer", "tuned · dev", 0): "f93d0c24faffac79",
    ("judge", "tuned · dev", 0): "0b0b23343249cf7d",
    ("synthesize", "", 1): "bd906de5c72ca41b",
    ("dedup", "", 1): "0f19b5d71dda3433",
    ("finetune", "", 1): "54c3b4fee26f4174",
    ("infer", "tuned · dev", 1): "77ab6d0f306f5679",
    ("judge", "tuned · dev", 1): "a7868611538453b4",
    ("answer", "service · test", None): "de5c2639238f4edd",
    ("judge", "service · test", None): "fcb958079b935a25",
    ("infer", "tuned · test", None): "6350f1ad6b8bc944",
    ("judge", "tuned · test", None): "1256d5e3c125b5eb",
    ("judge", "first two sentences · test", None): "324285a423725c74",
    ("judge", "whole prompt · test", None): "d1c402f5a7dc0746",
    ("infer", "base · test", None): "d5eeaf180046c9a8",
    ("judge", "base · test", None): "c7c15492004e1f2c",
    ("promote", "", None): "40f7ce765e7be83f",
}
# The default on a CPU. Verdicts on a model's answers are left out: they need the model's answers.
DEFAULT = {
    "collect": "567c1ca95a317357",
    "anchor": "704b8c24f12d734d",
    "answer service · dev": "eb39b958e3f3d9a3",
    "judge service · dev": "b1e9733f44e81578",
    "finetune r0": "ba21092541e7410c",
    "infer r0 tuned · dev": "ca97f439e50c846f",
    "synthesize r1": "8ae418b09a3bfbd5",
    "dedup r1": "d7cc10ec449ba941",
    "finetune r1": "73bc248ebe27ddd6",
    "infer r1 tuned · dev": "a4ecc7bdfbaeb308",
    "answer service · test": "e53db11256c9e979",
    "infer tuned · test": "3a93b88bedec6418",
    "judge first two sentences · test": "258127c0c55ffd99",
    "judge whole prompt · test": "6210746193a73b66",
    "infer base · test": "a2ed114eb21ad3af",
    "promote": "d89ea5af0976fe74",
}
LIVE = {
    "service": "0496e4deec01b0d7",
    "answer": "680200f4571954a5",
    "synthesize": "799ff9e0e8119e22",
    "anchor": "9eb73e0fd077d8fe",
    "judge": "a6c64351283a06c8",
    "request for a verdict": "0e085a69d063dd75",
    "request for an answer": "d75167f792b81552",
    "endpoint": "4ce462c078f6a6df",
}
TRAINING = Training(
    losses=(), dev_losses=(), kept=0, tokens=0, completion_tokens=0, seconds=1, too_long=0
)


@pytest.fixture
def lab(tmp_path: Path):
    with MemoryTracker().open("identities", "identities", {}) as tracked:
        yield Lab(tmp_path / "mlruns", tracked, say=lambda line: None)


def test_a_run_on_fakes(tmp_path: Path):
    home = f"tracking.home={tmp_path / 'mlruns'}"
    exp = composed("+experiment=summarize", *FAKES, "tracking=memory", home)
    outcome = run(exp, command="", say=lambda line: None)
    assert {(s.name, s.label, s.round): s.fingerprint for s in outcome.stages} == FAKE_RUN


def adapter_of(stage: Stage[Adapter], home: Path) -> Adapter:
    return Adapter(home=home / f"finetune-{stage.fingerprint}", training=TRAINING, rows=0)


def test_the_default(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("llamaduo.local.precision.device_class", lambda: "cpu")
    exp = composed("+experiment=summarize")
    model, scores = local.build(exp.local), judge.build(exp.judge, context_of(exp))
    asked = service.build(exp.service, context_of(exp))
    stages: dict[str, Stage] = {}

    stages["collect"] = collect(exp.task, near=exp.synthesis.dedup, seed=exp.seed)
    coverage = lab.run(stages["collect"])
    train, dev, test = (coverage.split(name) for name in ("train", "dev", "test"))
    stages["anchor"] = anchor(scores, train[:ANCHORED])

    def judged(pairs, responses):
        confidence = exp.gate.confidence
        return assess(scores, pairs, responses, confidence=confidence, seed=exp.seed)

    def answered(pairs):
        prompts = [pair.prompt for pair in pairs]
        return answer(asked, prompts, max_tokens=exp.service.max_tokens)

    def inferred(adapter, pairs):
        return infer(
            model,
            exp.hparams,
            adapter,
            [pair.prompt for pair in pairs],
            exp.local.sampling,
            max_new_tokens=exp.task.max_new_tokens,
            seed=exp.seed,
        )

    stages["answer service · dev"] = answered(dev)
    own = lab.run(stages["answer service · dev"]).responses()
    stages["judge service · dev"] = judged(dev, own)
    stages["finetune r0"] = finetune(model, exp.hparams, train, seed=exp.seed, dev=dev)
    stages["infer r0 tuned · dev"] = inferred(adapter_of(stages["finetune r0"], tmp_path), dev)
    stages["synthesize r1"] = synthesize(
        asked,
        train,
        topic=exp.task.topic,
        config=exp.synthesis,
        max_tokens=exp.service.max_tokens,
        round=1,
        seed=exp.seed,
    )
    written = lab.run(stages["synthesize r1"]).pairs()
    stages["dedup r1"] = dedup(train, written, [*dev, *test], exp.synthesis.dedup)
    pool = lab.run(stages["dedup r1"]).pairs()
    stages["finetune r1"] = finetune(model, exp.hparams, pool, seed=exp.seed, dev=dev)
    best = adapter_of(stages["finetune r1"], tmp_path)
    stages["infer r1 tuned · dev"] = inferred(best, dev)
    stages["answer service · test"] = answered(test)
    stages["infer tuned · test"] = inferred(best, test)
    for name, texts in copies(test).items():
        rows = [Response(prompt_id=key, k=0, text=text) for key, text in texts.items()]
        stages[f"judge {name} · test"] = judged(test, rows)
    stages["infer base · test"] = inferred(None, test)
    stages["promote"] = pack(
        model,
        exp.local,
        exp.hparams,
        best,
        task=exp.task.name,
        system=coverage.card.system,
        max_new_tokens=exp.task.max_new_tokens,
        seed=exp.seed,
    )
    assert {name: stage.fingerprint for name, stage in stages.items()} == DEFAULT


def test_a_live_service_and_an_llm_as_judge(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(os.environ, "OPENAI_API_KEY", "no-key")
    home = f"tracking.home={lab.home}"
    exp = composed("+experiment=summarize", "service=gpt_4o", "judge=llm", "local=fake", home)
    asked, scores = (
        service.build(exp.service, context_of(exp)),
        judge.build(exp.judge, context_of(exp)),
    )
    coverage = lab.run(collect(exp.task, near=exp.synthesis.dedup, seed=exp.seed))
    train, dev = coverage.split("train"), coverage.split("dev")
    most = exp.service.max_tokens
    recorded = [Response(prompt_id=pair.id, k=0, text=pair.response) for pair in dev]
    item = Item(prompt=dev[0].prompt, reference=dev[0].response, response=recorded[0])
    price = "service.price={input_usd: 1, output_usd: 2, simulated: false}"
    where = ("service=endpoint", "service.api_base=http://127.0.0.1:8000/v1", "service.model=tiny")
    endpoint = composed("+experiment=summarize", *where, price, "local=fake", home)
    assert {
        "service": fingerprint("service", dict(asked.identity)),
        "answer": answer(asked, [pair.prompt for pair in dev], max_tokens=most).fingerprint,
        "synthesize": synthesize(
            asked,
            train,
            topic=exp.task.topic,
            config=exp.synthesis,
            max_tokens=most,
            round=1,
            seed=exp.seed,
        ).fingerprint,
        "anchor": anchor(scores, train[:ANCHORED]).fingerprint,
        "judge": assess(scores, dev, recorded, confidence=0.95, seed=1).fingerprint,
        "request for a verdict": scores.requests(item, range(1))[0].key,  # type: ignore[attr-defined]
        "request for an answer": request_of(dev[0].prompt, max_tokens=most).key,
        "endpoint": fingerprint(
            "service", dict(service.build(endpoint.service, context_of(endpoint)).identity)
        ),
    } == LIVE


def context_of(exp: Experiment) -> service.ServiceContext:
    return service.ServiceContext.of(exp.tracking.home, exp.prices, exp.budget)
