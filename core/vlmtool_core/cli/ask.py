"""`vlmtool-cli ask`: one question about one or more pictures, answered while it is written."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from vlmtool_core.cli.console import emit_json, note
from vlmtool_core.cli.interrupts import cancel_on_interrupt
from vlmtool_core.cli.run_output import in_words
from vlmtool_core.cli.run_prompts import FORMS_OF_ANSWERS, prompt_and_question
from vlmtool_core.errors import UsageError
from vlmtool_core.jobs import CancelToken
from vlmtool_core.json_codec import outcome_to_json
from vlmtool_core.records import (
    ChatTurn,
    ItemRef,
    Json,
    ModelIdentity,
    Outcome,
    OutcomeStatus,
    Task,
)

FAILED, STOPPED = 1, 130


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--question", required=True, help="What to ask; a text, or a prompt by name.")
@click.option("--model", help="A model pack's id; several pictures need a chat model.")
@click.option("--frame", type=click.IntRange(0), default=0, show_default=True,
              help="Which frame of a series, a video or a page.")  # fmt: skip
@click.option("--answer", metavar="FORM", help=FORMS_OF_ANSWERS)
@click.option("--max-tokens", type=click.IntRange(1), help="Most tokens that are written.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def ask(
    paths: tuple[Path, ...],
    question: str,
    model: str | None,
    frame: int,
    answer: str | None,
    max_tokens: int | None,
    as_json: bool,
) -> int:
    """Ask one question about all PATHs together: files, DICOM series or folders.

    The answer goes to stdout, in a terminal while it is written; Ctrl-C stops it. Which model
    spoke is told on stderr.

    Exit codes: 0 answered, 1 failed, 2 wrong call, 3 a model or library is missing, 130 stopped.
    """
    from vlmtool_core.batch.talking import frame_of, talk
    from vlmtool_core.engine.runtime.stopping import stoppable
    from vlmtool_core.engine.runtime.user_engine import engine_as_set
    from vlmtool_core.engine.texts.answers import answer_shape

    asked = prompt_and_question(Task.ASK, None, question)[1] or ""
    shape = None if answer is None else answer_shape(answer)
    with cancel_on_interrupt() as cancel, stoppable(cancel):
        items = _items(paths, cancel)
        engine = engine_as_set()
        identity = engine.identity(Task.ASK, model)
        turn = ChatTurn("user", asked, tuple(frame_of(i, frame, engine, model) for i in items))
        tell = None if as_json or not sys.stdout.isatty() else _tell
        outcome = talk(
            engine, [turn], model=model, answer=shape, max_tokens=max_tokens, on_text=tell
        )
    if as_json:
        emit_json(_document(asked, items, frame, identity, outcome))
    else:
        _print(outcome, told=tell is not None)
        note(f"{identity} answered." if outcome.error is None else f"Model: {identity}")
    return _exit_code(outcome)


def _items(paths: Sequence[Path], cancel: CancelToken) -> list[ItemRef]:
    """What the paths hold, in the order given."""
    from vlmtool_core.batch.folder import items_of
    from vlmtool_core.engine.chatting import MOST_PICTURES

    items: list[ItemRef] = []
    for path in paths:
        items += items_of(path, cancel=cancel)
        if len(items) > MOST_PICTURES:
            raise UsageError(
                f"one question is about at most {MOST_PICTURES} pictures",
                path=path,
                remedy="Ask of each picture by itself: vlmtool-cli run PATH --task ask",
            )
    return items


def _tell(piece: str) -> None:
    click.echo(piece, nl=False)
    sys.stdout.flush()


def _print(outcome: Outcome, *, told: bool) -> None:
    """What was said to stdout, unless it was told already; scores and problems to stderr."""
    if told:
        click.echo()
    elif outcome.text:
        click.echo(outcome.text)
    if outcome.scores:
        note(in_words(outcome))
    if outcome.error is not None:
        note(f"failed: {outcome.error.message}. {outcome.error.remedy}".rstrip())
    elif outcome.status is OutcomeStatus.CANCELLED:
        note("Stopped.")
    elif outcome.status is OutcomeStatus.EMPTY:
        note("The model has nothing to say.")


def _document(
    question: str, items: Sequence[ItemRef], frame: int, model: ModelIdentity, outcome: Outcome
) -> dict[str, Json]:
    return {
        "question": question,
        "items": [{"item": item.item, "path": str(item.path), "frame": frame} for item in items],
        "model": model.id,
        "model_version": model.version,
        **outcome_to_json(outcome),
    }


def _exit_code(outcome: Outcome) -> int:
    if outcome.status is OutcomeStatus.CANCELLED:
        return STOPPED
    return FAILED if outcome.status is OutcomeStatus.FAILED else 0
