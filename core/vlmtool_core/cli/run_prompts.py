"""The prompt and the question of a run: as typed, or by the name of a plugin's prompt."""

from __future__ import annotations

from vlmtool_core.errors import UsageError
from vlmtool_core.records import Task

FORMS_OF_ANSWERS = (
    'The form that answers must have (task ask): yes/no, "one of: a|b|c", or the path of a '
    "JSON schema (schema.json)."
)


def prompt_and_question(
    task: Task, prompt: str | None, question: str | None
) -> tuple[str | None, str | None]:
    """(prompt of a caption, or how to read; question to ask); for `ask` the prompt is the
    question.

    Raises
    ------
    UsageError : a prompt for another task, a prompt and a question, or an empty one.
    """
    if prompt is not None and task not in (Task.CAPTION, Task.ASK, Task.READ):
        raise UsageError(f"a prompt has no meaning for {task}", field="--prompt")
    if question is not None and task is not Task.ASK:
        raise UsageError(f"a question has no meaning for {task}", field="--question")
    if task is Task.ASK and prompt is not None:
        if question is not None:
            raise UsageError("give a prompt or a question, not both", field="--prompt")
        return None, _named(prompt, "--prompt")
    return (
        None if prompt is None else _named(prompt, "--prompt"),
        None if question is None else _named(question, "--question"),
    )


def _named(given: str, field: str) -> str:
    """The text of the prompt called `given`; itself when no plugin has one of that name."""
    from vlmtool_core.hooks.manager import plugin_manager

    if not given.strip():
        raise UsageError("is empty", field=field)
    return plugin_manager().prompts().get(given.strip(), given)
