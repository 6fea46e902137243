"""Which of OpenAI's two APIs a call of ``ChatOpenAI`` uses: ``openai.api.type``.

langchain-openai decides it for each call and tells no callback; the constructor's
arguments and the call's parameters tell it in nearly all cases.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

CHAT_COMPLETIONS: Final = "chat_completions"
RESPONSES: Final = "responses"

_TYPES: Final = frozenset({"openai-chat", "azure-openai-chat"})
"""``_type`` of the models that choose between the two."""

_ONLY_RESPONSES: Final = (
    "context_management",
    "include",
    "previous_response_id",
    "reasoning",
    "text",
    "truncation",
)
"""Parameters that chat completions do not know."""

_UNSURE: Final = re.compile(r"codex|-pro|-sol|^gpt-6", re.IGNORECASE)
"""Models for which the choice depends on langchain-openai's version."""


class Api(NamedTuple):
    """Which API a model object uses."""

    type: str
    """``openai.api.type``, or empty where it is not certain."""
    chosen_by_call: bool
    """The parameters of a call can still make it the Responses API."""


_NONE: Final = Api("", chosen_by_call=False)


def api_of(kind: object, arguments: dict[object, object]) -> Api:
    """Tell the API from a model's constructor arguments.

    Args:
        kind: ``_type`` of the invocation parameters.
        arguments: The model's constructor arguments, as serialized.

    Returns:
        The API; none for models that have no choice between the two.
    """
    if not isinstance(kind, str) or kind not in _TYPES:
        return _NONE
    if isinstance(chosen := arguments.get("use_responses_api"), bool):
        return Api(RESPONSES if chosen else CHAT_COMPLETIONS, chosen_by_call=False)
    if (
        arguments.get("output_version") == "responses/v1"
        or arguments.get("use_previous_response_id")
        or any(arguments.get(key) is not None for key in _ONLY_RESPONSES)
    ):
        return Api(RESPONSES, chosen_by_call=False)
    model = arguments.get("model_name") or arguments.get("deployment_name")
    if not isinstance(model, str) or _UNSURE.search(model[:256]):
        return Api("", chosen_by_call=True)
    return Api(CHAT_COMPLETIONS, chosen_by_call=True)


def asks_for_responses(params: dict[object, object]) -> bool:
    """Tell whether a call's parameters are only known to the Responses API.

    Args:
        params: LangChain's invocation parameters of ``ChatOpenAI``.

    Returns:
        True where one of them is, or a tool is one of OpenAI's own.
    """
    for key in _ONLY_RESPONSES:
        if key in params:
            return True
    tools = params.get("tools")
    return isinstance(tools, list) and any(
        isinstance(tool, dict) and tool.get("type", "function") != "function"
        for tool in tools
    )
