"""What a conversation lost on its way through a form: what went in and did not come out."""

from __future__ import annotations

from training.construction.formats.conversation import Conversation
from training.construction.formats.problems import Loss, LossKind


def losses_of(
    conversation: Conversation, restored: Conversation | None, why_none: str = ""
) -> list[Loss]:
    """Compares a conversation with what a form gives back of it.

    Args:
        conversation: What was written.
        restored: What is read; None where nothing can be.
        why_none: Why nothing can be read.
    """
    name = conversation.conversation_id
    if restored is None:
        return [Loss(name, LossKind.LEFT_OUT, why_none)]
    if len(restored.turns) != len(conversation.turns):
        turns = f"{len(restored.turns)} turns of {len(conversation.turns)} are read back"
        return [Loss(name, LossKind.LAYOUT, turns)]
    pairs = list(zip(conversation.turns, restored.turns, strict=True))
    found = {
        LossKind.GIVEN_PREFIX: [
            place for place, (old, new) in enumerate(pairs) if old.given != new.given
        ],
        LossKind.LAYOUT: [
            place
            for place, (old, new) in enumerate(pairs)
            if (old.given + old.text, old.response) != (new.given + new.text, new.response)
        ],
    }
    losses = [
        Loss(name, kind, f"of turns {', '.join(map(str, places))}")
        for kind, places in found.items()
        if places
    ]
    fields = [
        field
        for field in ("question", "answers", "system", "user", "tools")
        if getattr(conversation, field) != getattr(restored, field)
    ]
    # A form may add fields of its own.
    fields += [key for key, value in conversation.rest.items() if restored.rest.get(key) != value]
    if fields:
        losses.append(Loss(name, LossKind.FIELDS, ", ".join(fields)))
    return losses
