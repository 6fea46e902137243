"""How many tokens a prompt may have, before the provider has counted them.

Only for what a budget reserves; what is counted in the end is the provider's number.
"""

from __future__ import annotations

from typing import Final

from langchain_core.messages.utils import count_tokens_approximately

_CHARACTERS: Final = 4


def input_tokens(payload: object) -> int:
    """Estimate the tokens of a prompt.

    Args:
        payload: A list of messages, or a text.

    Returns:
        About one token for four characters; 1 for what cannot be read.
    """
    if isinstance(payload, str):
        return max(-(-len(payload) // _CHARACTERS), 1)
    try:
        return max(count_tokens_approximately(payload), 1)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 -- an estimate is not worth a failure
        return 1
