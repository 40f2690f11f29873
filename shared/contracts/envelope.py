"""The envelope: CloudEvents 1.0 in JSON structured mode, strict.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

from datetime import datetime
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import Field, StringConstraints

from shared.vocabulary.model import Model
from shared.vocabulary.names import MessageIdField

CONTENT_TYPE = "application/cloudevents+json"
MAX_MESSAGE_BYTES = 1_048_576

DataT = TypeVar("DataT", bound=Model)

MessageType = Annotated[str, StringConstraints(pattern=r"\Ara(\.[a-z-]+)+\.v[1-9][0-9]*\z", max_length=100)]
Subject = Annotated[str, StringConstraints(max_length=64, pattern=r"\A[A-Za-z0-9-]+\z")]


class Header(Model):
    """The envelope's context attributes, without its data."""

    specversion: Literal["1.0"] = "1.0"
    id: MessageIdField
    source: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    type: MessageType
    subject: Subject
    """The request's id, or for messages about no single request the sender's name."""
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    inreplyto: MessageIdField | None = None
    """Extension attribute of replies: the id of the message that is answered."""
    sequence: Annotated[str, StringConstraints(pattern=r"\A[1-9][0-9]{0,8}\z")] | None = None
    """Extension attribute of lifecycle events (CloudEvents' own `sequence`): the request's n-th event."""
    policyserial: Annotated[str, StringConstraints(pattern=r"\A[1-9][0-9]{0,17}\z")] | None = None
    """Extension attribute of events: the serial of the policy that its duty had in force then."""


class Envelope(Header, Generic[DataT]):
    """One message: context attributes and data."""

    data: DataT = Field()

    @property
    def order(self) -> int:
        """The sequence number of a lifecycle event, or 0."""
        return int(self.sequence) if self.sequence else 0

    @property
    def policy_serial(self) -> int:
        """The serial of the policy under which a lifecycle event was composed, or 0."""
        return int(self.policyserial) if self.policyserial else 0
