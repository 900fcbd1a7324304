"""The gate: ``nox`` runs the tests on every Python found, lint, types and layers.

Versions are those of constraints.txt, so that a gate that passed passes again.
"""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "virtualenv"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["tests", "lint", "types", "layers", "docs", "differential"]

PYTHONS = ["3.11", "3.12", "3.13"]
BETWEEN = ("api", "cli", "engine", "machine/test_machine_determinism.py")
"""What is tested on a Python between two others: the fingerprints of all shipped scenarios, the
kernel, and what people call."""
DOCUMENTS = ("tests/test_docs.py", "tests/test_notebook.py", "tests/test_readme.py")
"""Every example of the documents."""


def install(session: nox.Session, *packages: str) -> None:
    """Install with the pinned versions."""
    session.install("-c", "constraints.txt", *packages)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The whole test suite on the oldest Python, on two cores; on the newest what is not slow.

    What differs from one Python to the next shows in those: the fingerprints of all shipped
    scenarios are among them. Between the two only some rooms are tested. The oldest one's
    documents are tested by the session ``docs``. ``nox -s tests-3.13 -- -m ''`` runs the whole
    suite there.
    """
    install(session, ".[test]", "import-linter", "mypy", "types-greenlet")
    if session.python == PYTHONS[0]:
        what = [f"--ignore={path}" for path in DOCUMENTS]
    elif session.python == PYTHONS[-1]:
        what = ["-m", "not slow"]
    else:
        what = ["-m", "not slow", *(f"tests/{room}" for room in BETWEEN)]
    session.run("pytest", "-n", "2", "--dist", "worksteal", *what, *session.posargs)


@nox.session
def quick(session: nox.Session) -> None:
    """The fast tests, on the Python at hand: under two minutes on two cores."""
    install(session, ".[test]", "import-linter")
    marks = ("-m", "not slow", "--hypothesis-profile=quick")
    session.run("pytest", "-n", "2", "--dist", "worksteal", *marks, *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The site, in build/site, with warnings as errors; and every example of the documents."""
    install(session, ".[docs,test,plots]")
    session.run("pytest", "-q", *DOCUMENTS, "tests/cli/test_cli_sample.py")
    options = ("-b", "html", "-W", "--keep-going", "-q", "-d", "build/doctrees")
    session.run("sphinx-build", *options, "docs", "build/site")


@nox.session
def pages(session: nox.Session) -> None:
    """Write anew what is made of the documents, their picture, and the schema of scenario files."""
    install(session, ".[plots]")
    session.run("python", "tests/notebook_page.py")
    session.run("python", "tests/commands_page.py")
    session.run("python", "tests/scenario_page.py")
    session.run("python", "tests/trace_page.py")
    session.run("python", "tests/studies.py")
    session.run("python", "tests/laws_page.py")
    session.run("python", "tests/metrics_page.py")


@nox.session
def explore(session: nox.Session) -> None:
    """Look for counterexamples that the gate does not draw: minutes, and never the same ones."""
    install(session, ".[test]", "import-linter")
    session.run("pytest", "-n", "2", "--hypothesis-profile=explore", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Search for a scenario that breaks a law: ten minutes on two cores, findings in build/fuzz.

    ``nox -s fuzz -- --time 8h --seed 1000000`` searches elsewhere, and for longer.
    """
    install(session, ".")
    words = session.posargs or ("--time", "10min", "-j", "2")
    session.run("desim", "fuzz", *words, "--save", "build/fuzz")


@nox.session
def alterations(session: nox.Session) -> None:
    """Alter every fact of slirp's recordings, one by one: does the replay notice? Two minutes."""
    install(session, ".")
    session.run("python", "tests/conform/slirp/alterations.py", *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """Put small faults into the models, one by one: does a law, a test or a recording notice?

    Hours for the whole list; ``nox -s mutants -- NAME ...`` tries some of it, ``-- --by laws`` asks
    the laws alone: ten minutes.
    """
    install(session, ".[test]")
    session.run("python", "-m", "mutants", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session
def results(session: nox.Session) -> None:
    """Write results/ anew: reports and fingerprints of the shipped scenarios."""
    install(session, ".")
    session.run("python", "tests/golden.py")
    session.run("python", "tests/report/screens.py", env={"PYTHONPATH": "tests"})


@nox.session
def calibrate(session: nox.Session) -> None:
    """Fit the profiles icount and tcg anew to the recorded runs: two minutes, the same files."""
    install(session, ".[calibrate]")
    command = ["python", "-m", "desim", "calibrate", "tests/vectors/linux"]
    session.run(*command, "-o", "desim/costs/profiles/icount.toml")
    session.run(*command, "--real-time", "icount", "-o", "desim/costs/profiles/tcg.toml")


@nox.session
def lint(session: nox.Session) -> None:
    """Style."""
    install(session, "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Types, strictly."""
    install(session, ".[calibrate,test]", "mypy", "types-greenlet")
    session.run("mypy")


@nox.session
def layers(session: nox.Session) -> None:
    """Who may know whom."""
    install(session, ".", "import-linter")
    session.run("lint-imports", "--no-cache")


@nox.session
def cluster(session: nox.Session) -> None:
    """A sweep on a cluster of Dask's with two workers, and what data frames make of its rows."""
    install(session, ".[cluster,test]", "pandas", "polars", "pyarrow")
    session.run("pytest", "-q", "tests/sweeps/test_cluster.py", "tests/api/test_api_sweep.py")


@nox.session
def differential(session: nox.Session) -> None:
    """desim against the originals that are installed: libslirp 4.7.0, and QEMU 7.2's card.

    ``nox -s differential -- --examples 10000 -j 4 --seed 7`` gives more inputs than the gate.
    """
    install(session, ".")
    for original, examples in (("libslirp", "200"), ("qemu", "30")):
        words = (
            "--examples",
            examples,
            *session.posargs,
            "--quiet",
            "--save",
            "build/differential",
        )
        # 2: it is not here, and the command has said what is missing.
        session.run("desim", "fuzz", "--against", original, *words, success_codes=[0, 2])
