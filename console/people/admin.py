"""People who work in the console, and their roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html

from console import roles
from console.people.forms import NewPersonForm, PersonForm, RoleForm
from console.sign_in import totp

if TYPE_CHECKING:
    UserModelAdmin = UserAdmin[User]
else:
    UserModelAdmin = UserAdmin

ONE_BY_ONE: Any = (
    "Rights one by one",
    {"fields": ("user_permissions",), "classes": ("collapse",)},
)


def _codes(rights: Any) -> list[str]:
    named = rights.values_list("content_type__app_label", "codename")
    return sorted(f"{app}.{code}" for app, code in named)


def _may(*fields: str) -> Any:
    return ("May", {"fields": fields})


class PersonAdmin(UserModelAdmin):
    """Staff. Roles are groups; rights given one by one are for superusers to give."""

    form = PersonForm
    add_form = NewPersonForm
    add_fieldsets: Any = ((None, {"fields": ("username", "password1", "password2", "role")}),)
    list_display = ("username", "email", "roles", "is_active", "last_login")
    list_filter = ("is_active", "groups")
    show_facets = admin.ShowFacets.NEVER
    filter_horizontal = ()
    readonly_fields = ("code_asked", "last_login", "date_joined")
    who: ClassVar[Any] = (
        (None, {"fields": ("username", "password", "first_name", "last_name", "email")}),
    )
    signing_in: ClassVar[Any] = (
        ("Signing in", {"fields": ("code_asked", "last_login", "date_joined")}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Superusers see what stands above roles as well."""
        if obj is None:
            return self.add_fieldsets
        if not request.user.is_superuser:
            return (*self.who, _may("is_active", "groups"), *self.signing_in)
        given = _may("is_active", "is_staff", "is_superuser", "groups")
        return (*self.who, given, ONE_BY_ONE, *self.signing_in)

    def get_form(
        self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """A form that knows who fills it in: nobody gives more than they have."""
        form = super().get_form(request, obj, change=change, **kwargs)
        return type(form.__name__, (form,), {"actor": request.user})

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """With their groups, in one query more."""
        return super().get_queryset(request).prefetch_related("groups")

    def audited_values(self, user: User) -> dict[str, Any]:
        """What decides over what somebody may do."""
        return {
            "is_active": user.is_active,
            "is_staff": user.is_staff,
            "is_superuser": user.is_superuser,
            "groups": sorted(group.name for group in user.groups.all()),
            "user_permissions": _codes(user.user_permissions),
        }

    @admin.display(description="roles")
    def roles(self, user: User) -> str:
        """The groups, or what stands above them."""
        names = ["superuser"] if user.is_superuser else []
        return ", ".join(names + [group.name for group in user.groups.all()]) or "none"

    @admin.display(description="second factor")
    def code_asked(self, user: User) -> str:
        """Whether a code is asked for; the link leads to where a lost one is taken away."""
        factor = totp.of(user)
        if factor is None:
            return "Off"
        url = reverse("admin:console_secondfactor_change", args=[factor.pk])
        return format_html('On. <a href="{}">Lost? Take it away</a>', url)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Who may do more is changed by those only who may do as much."""
        return self._is_below(request, obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """As for changing."""
        return self._is_below(request, obj) and super().has_delete_permission(request, obj)

    def _is_below(self, request: HttpRequest, person: User | None) -> bool:
        return person is None or roles.may_manage(request.user, person)

    def response_add(
        self, request: HttpRequest, obj: User, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Back to the list: Django's own way leads on to a second form."""
        return super(UserAdmin, self).response_add(request, obj, post_url_continue)


class RoleAdmin(GroupAdmin):
    """Groups: the console's own four, and those that superusers make."""

    form = RoleForm
    filter_horizontal = ()

    def audited_values(self, group: Group) -> dict[str, Any]:
        """What it includes."""
        return {"permissions": _codes(group.permissions)}
