"""An `mlruns/` as version 0.1.0 left it, before the packages: stages, champions, ledger, study.

It was made by the code of commit 72e7271 with these commands, in one folder:

    python -m llamaduo +experiment=summarize service=fake local=fake judge=fake
    python -m llamaduo -m +experiment=summarize +sweeps=qlora service=fake local=fake judge=fake \\
        hydra.sweeper.n_trials=2 hydra.sweeper.gate_best=false
    python -m llamaduo +experiment=summarize name=live local=fake judge=fake service=endpoint \\
        service.api_base=http://127.0.0.1:34707/v1 service.model=tiny service.max_tokens=200 \\
        'service.price={input_usd: 1, output_usd: 2, simulated: false}' min_rounds=1 max_rounds=1

The last one's service was a stand-in on loopback. Hydra's folders and the figures were left out,
and the path of the folder became `/old/home`.
"""

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

ARCHIVE = Path(__file__).parent.parent / "assets" / "mlruns-0.1.tar.xz"
OLD_HOME = "/old/home"


def unpack(folder: Path) -> Path:
    """Unpack it as `folder/mlruns`, and have its databases and files name that folder."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    home = folder / "mlruns"
    for path in [path for path in home.rglob("*") if path.is_file()]:
        if path.suffix == ".db":
            _rename_in_database(path, str(folder))
        elif OLD_HOME.encode() in (content := path.read_bytes()):
            path.write_bytes(content.replace(OLD_HOME.encode(), str(folder).encode()))
    return home


def _rename_in_database(path: Path, folder: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for _, column, kind, *_ in database.execute(f'PRAGMA table_info("{table}")').fetchall():
                if any(word in kind.upper() for word in ("CHAR", "TEXT", "CLOB")):
                    database.execute(
                        f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) '
                        f'WHERE instr("{column}", ?)',
                        (OLD_HOME, folder, OLD_HOME),
                    )
