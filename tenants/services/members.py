from __future__ import annotations

from django.contrib.auth.models import User


def let_in(member: User) -> None:
    """Let a member log in to the admin, where their role decides what they see."""
    if not member.is_staff:
        member.is_staff = True
        member.save(update_fields=["is_staff"])
