"""A message that interrupts is answered before what was queued earlier."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sessions_app", "0002_unanswered_and_machines"),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="goes_first",
            field=models.BooleanField(
                default=False, help_text="it interrupted: answered before what was queued earlier"
            ),
        ),
        migrations.AlterField(
            model_name="message",
            name="unanswered",
            field=models.BooleanField(
                default=False,
                help_text="of a run that got no reply: the model is not told",
            ),
        ),
    ]
