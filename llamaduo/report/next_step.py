"""Why a run ended, and what to do next, in sentences."""

from llamaduo.outcome import Outcome


def stop(outcome: Outcome) -> str:
    """Say why the loop ended."""
    if outcome.stop == "qualified":
        return f"qualified: gate {outcome.gate} was met on dev in round {outcome.rounds[-1].number}"
    return f"{outcome.stop}: {outcome.stop_words}"


def how_to_switch(outcome: Outcome) -> str | None:
    """Say how to go on when the service LLM could write nothing; None where it could."""
    if outcome.stop != "no_service":
        return None
    return (
        "Recorded answers exist only for the shipped data, so switch to service=<your service>. So "
        "far there are service=recorded (service.recording=<file> replays a file of yours) and "
        "service=fake (for trying the loop)."
    )


def next_step(outcome: Outcome) -> str:
    """Say what to do next: a command, or the choice that is left."""
    rounds = len(outcome.rounds)
    if outcome.champion is not None and outcome.champion.model.endswith("-fake"):
        return "the same command with the service, local LLM and judge that you mean"
    if outcome.result == "qualified":
        return f'echo "text" | python -m llamaduo.ask task={outcome.task}'
    if outcome.result == "not_confirmed":
        return (
            "more coverage pairs (task.coverage=<file>): they narrow the interval, and make a test "
            "set that has not been read yet"
        )
    if outcome.stop == "no_service":
        return "the same command with service=<your service>; finished stages are reused"
    if outcome.stop == "max_rounds":
        return f"another round: the same command with max_rounds={rounds + 1}"
    if outcome.stop == "budget":
        return (
            "the same command with more budget.minutes or budget.usd (or another budget.purse); "
            "finished stages are reused and no answer is paid for again"
        )
    return (
        "more rounds no longer help: a larger local LLM (local=…), other hparams, or more coverage "
        "pairs of your own (task.coverage=<file>)"
    )


def champion(outcome: Outcome) -> str:
    """Say where the champion is."""
    if outcome.champion is None:
        return "none from this run; an earlier champion stays where it is"
    return f"{outcome.champion.uri} (version {outcome.champion.version})"
