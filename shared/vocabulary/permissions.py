"""Permissions: what an identity may do for an approval group."""

from enum import StrEnum


class Permission(StrEnum):
    """One thing that an identity may do within an approval group."""

    SUBMIT = "submit"
    SUBMIT_ON_BEHALF = "submit_on_behalf"
    WITHDRAW = "withdraw"
    VIEW = "view"
    EDIT = "edit"
    DECIDE = "decide"
    DOWNLOAD = "download"
    REVOKE = "revoke"
    AUDIT = "audit"
