"""Forms for people: a role is chosen where the name is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.auth.forms import UserChangeForm, UserCreationForm
from django.contrib.auth.models import Group, Permission, User

from console import roles

# Django's own classes are generic for the type checker only.
if TYPE_CHECKING:
    RoleChoice = forms.ModelChoiceField[Group]
    GroupChoices = forms.ModelMultipleChoiceField[Group]
    RightChoices = forms.ModelMultipleChoiceField[Permission]
    GroupModelForm = forms.ModelForm[Group]
    NewUserForm = UserCreationForm[User]
    OldUserForm = UserChangeForm[User]
else:
    RoleChoice = forms.ModelChoiceField
    GroupChoices = RightChoices = forms.ModelMultipleChoiceField
    GroupModelForm = forms.ModelForm
    NewUserForm, OldUserForm = UserCreationForm, UserChangeForm


def _says(group: Group) -> str:
    words = roles.SAYS.get(group.name)
    return f"{group.name}: {words}" if words else group.name


class RoleField(RoleChoice):
    """One role, with what it includes."""

    def label_from_instance(self, obj: Group) -> str:
        """For people."""
        return _says(obj)


class RolesField(GroupChoices):
    """Any number of roles, with what each includes."""

    def label_from_instance(self, obj: Group) -> str:
        """For people."""
        return _says(obj)


class RightsField(RightChoices):
    """Permissions, by name: a list to tick, which needs no script."""

    def label_from_instance(self, obj: Permission) -> str:
        """For people, and as the code has it."""
        return f"{obj.name} ({obj.content_type.app_label}.{obj.codename})"


def _rights() -> RightsField:
    return RightsField(
        Permission.objects.select_related("content_type"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )


class NewPersonForm(NewUserForm):
    """Name, password and role: that is all a person needs.

    Attributes:
        actor: who makes them; set by the admin for each request.
    """

    actor: Any
    role = RoleField(
        Group.objects.none(),
        widget=forms.RadioSelect,
        empty_label=None,
        help_text="It can be changed at any time.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].queryset = roles.grantable_by(self.actor)  # type: ignore[attr-defined]

    def save(self, commit: bool = True) -> User:
        """Who has a role is staff."""
        self.instance.is_staff = True
        return super().save(commit)

    def _save_m2m(self) -> None:
        super()._save_m2m()  # type: ignore[misc]
        self.instance.groups.set([self.cleaned_data["role"]])


class PersonForm(OldUserForm):
    """Somebody's name, roles and rights.

    Attributes:
        actor: who changes them; set by the admin for each request.
    """

    actor: Any
    groups = RolesField(
        Group.objects.none(),
        label="Roles",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Who has one may use the console, and all that it includes.",
    )
    user_permissions = _rights()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "groups" in self.fields:
            self.fields["groups"].queryset = roles.grantable_by(self.actor)  # type: ignore[attr-defined]

    def save(self, commit: bool = True) -> User:
        """Who has a role is staff; who has lost the last one is not, unless a superuser says so."""
        if "groups" in self.cleaned_data:
            kept = self.instance.is_superuser or (
                self.actor.is_superuser and self.instance.is_staff
            )
            self.instance.is_staff = kept or self.cleaned_data["groups"].exists()
        return super().save(commit)


class RoleForm(GroupModelForm):
    """A group and what it includes."""

    permissions = _rights()
