"""What approval tells of an edit, believed as far as its editor signed for it: pure, no I/O."""

from datetime import datetime

from shared.contracts.events import RequestEdited
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.differences import differences
from shared.evidence.verification import follow_revisions, verify_revision
from shared.vocabulary.findings import finding
from shared.vocabulary.names import RequestId


def edited_request(event: RequestEdited, anchor: Anchor, *, now: datetime, is_past: bool) -> RequestId:
    """The request that was really edited, by whom and in what the event says.

    Whether an editor of the past might edit, this anchor need not know.

    Raises:
        RefusedError: the evidence does not hold, or tells of another edit.
    """
    verified = follow_revisions if is_past else verify_revision
    _, revision = verified(event.evidence, anchor, now=now)
    if revision.edit is None:
        raise RefusedError(finding("evidence.edit-missing", "nobody's edit comes with this"))
    said = (revision.edit.editor, differences(revision.former[-1].revision, revision.revision))
    if said != (event.by, event.differences):
        raise RefusedError(finding("evidence.edit-differs", "somebody else edited it, or in another way"))
    return revision.revision.request_id
