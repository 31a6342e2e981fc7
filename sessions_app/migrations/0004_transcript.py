"""Who may write a transcript: the agent that was started last on its conversation."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sessions_app", "0003_goes_first"),
    ]

    operations = [
        migrations.CreateModel(
            name="Transcript",
            fields=[
                (
                    "conversation",
                    models.CharField(
                        help_text="the Claude session id",
                        max_length=64,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "claim",
                    models.CharField(
                        blank=True,
                        help_text="of the agent started last; empty: of none yet",
                        max_length=32,
                    ),
                ),
            ],
        ),
    ]
