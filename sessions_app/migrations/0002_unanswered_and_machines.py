"""What a failed run left unanswered is marked; a server process says where its pid counts."""

from django.db import migrations, models


def mark_unanswered(apps, schema_editor):
    """Mark what was sent in failed runs that got no reply, as a run's end does from now on."""
    messages = apps.get_model("sessions_app", "Message").objects.using(
        schema_editor.connection.alias
    )
    answered = messages.filter(run__status="failed", type="assistant").values("run_id")
    messages.filter(run__status="failed").exclude(run_id__in=answered).update(unanswered=True)


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="message",
            name="unanswered",
            field=models.BooleanField(
                default=False,
                help_text="of a failed run without a reply: not sent to the model again",
            ),
        ),
        migrations.AddField(
            model_name="serverprocess",
            name="machine",
            field=models.CharField(
                blank=True,
                help_text="where its pid means something; empty: nowhere else",
                max_length=128,
            ),
        ),
        migrations.RunPython(mark_unanswered, migrations.RunPython.noop),
    ]
