"""`manage.py second_factor list|remove`: for those who have lost phone and spare codes."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from console import audit
from console.models import SecondFactor


class Command(BaseCommand):
    """Show who has a second factor, and take away one that is lost."""

    help = "Show who has a second factor, and take away one that is lost."

    def add_arguments(self, parser: CommandParser) -> None:
        """The two verbs."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        verbs.add_parser("list", help="the names of those who are asked for a code")
        remove = verbs.add_parser("remove", help="ask somebody for the password only")
        remove.add_argument("name", help="a user name")

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        """Do it.

        Raises:
            CommandError: this person has no second factor.
        """
        factors = SecondFactor.objects.filter(confirmed_at__isnull=False).select_related("user")
        if verb == "list":
            for name in factors.order_by("user__username").values_list("user__username", flat=True):
                self.stdout.write(name)
            return
        factor = factors.filter(user__username=options["name"]).first()
        if factor is None:
            raise CommandError(f"{options['name']} has no second factor.")
        factor.delete()
        audit.record(audit.COMMAND_LINE, "second_factor.removed", factor.user)
        self.stdout.write(f"{options['name']} signs in with the password alone now.")
