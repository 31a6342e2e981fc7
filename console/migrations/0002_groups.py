"""The groups of the console: each role has all that the one before it has, and more."""

from django.db import migrations

CONSOLE = "console.console"
VIEWER = {
    (CONSOLE, "view_live"),
    (CONSOLE, "view_sessions"),
    ("keys_app.apikey", "view_apikey"),
    ("keys_app.usagesum", "view_usagesum"),
}
APPROVER = VIEWER | {(CONSOLE, "decide_approvals")}
OPERATOR = APPROVER | {
    (CONSOLE, "operate_sessions"),
    (CONSOLE, "export_sessions"),
    (CONSOLE, "use_playground"),
    (CONSOLE, "switch_service"),
    (CONSOLE, "export_usage"),
    ("keys_app.apikey", "add_apikey"),
    ("keys_app.apikey", "change_apikey"),
}
ADMINISTRATOR = OPERATOR | {
    (CONSOLE, "export_audit"),
    ("console.auditentry", "view_auditentry"),
    ("console.secondfactor", "view_secondfactor"),
    ("console.secondfactor", "delete_secondfactor"),
    ("auth.user", "view_user"),
    ("auth.user", "add_user"),
    ("auth.user", "change_user"),
    ("auth.user", "delete_user"),
    ("auth.group", "view_group"),
}
GROUPS = {
    "viewer": VIEWER,
    "approver": APPROVER,
    "operator": OPERATOR,
    "administrator": ADMINISTRATOR,
}


def make(apps, schema_editor):
    group_model = apps.get_model("auth", "Group")
    for name, permissions in GROUPS.items():
        group, _ = group_model.objects.get_or_create(name=name)
        group.permissions.add(*(_permission(apps, *names) for names in sorted(permissions)))


def _permission(apps, label, codename):
    """Django makes permissions after all migrations only; it takes over what is there."""
    app_label, model = label.split(".")
    kinds = apps.get_model("contenttypes", "ContentType").objects
    kind, _ = kinds.get_or_create(app_label=app_label, model=model)
    permission, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=kind,
        codename=codename,
        defaults={"name": _name(apps, app_label, model, codename)},
    )
    return permission


def _name(apps, app_label, model, codename):
    options = apps.get_model(app_label, model)._meta
    own = dict(options.permissions)
    return own.get(codename) or f"Can {codename.partition('_')[0]} {options.verbose_name}"


class Migration(migrations.Migration):
    dependencies = [
        ("console", "0001_console"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("keys_app", "0001_initial"),
    ]

    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
