"""Text and Markdown of strangers, and files that lead elsewhere."""

from __future__ import annotations

import os
import re
from pathlib import Path
from time import process_time

import pytest
from django.utils import timezone

from console.reading import files
from console.reading.markdown import MAX_LINKS, is_linkable, render
from console.reading.room import CELLS, Room
from console.reading.text import code, line, prose
from console.sessions.export import fenced
from console.templatetags.console_text import moment
from tests.console.hostile import TEXTS


def test_markdown_becomes_html() -> None:
    html = render("# Hi\n\n**bold** `code`\n\n- one\n\n|a|\n|-:|\n|1|")

    for wanted in ("<h1>Hi</h1>", "<strong>bold</strong>", "<li>one</li>", '<td class="cv-right">'):
        assert wanted in html


def test_no_hostile_text_becomes_an_element_that_does_something() -> None:
    elements = ("script", "img", "svg", "iframe", "style", "form", "input", "meta", "base")
    for text in TEXTS:
        tags = "".join(re.findall(r"<[^>]*>", render(text).lower()))
        assert not [name for name in elements if f"<{name}" in tags], text
        assert not re.search(r'href="(?!https?:|mailto:)| style=| on\w+=', tags), text


def test_a_link_says_where_it_leads() -> None:
    html = render("[https://bank.example](https://user@evil.example/login)")

    assert '<span class="cv-host">(evil.example)</span>' in html
    assert 'rel="noopener noreferrer nofollow ugc"' in html


def test_a_picture_is_linked_and_not_loaded() -> None:
    html = render("![cat](https://evil.example/cat.png)")

    assert "<img" not in html
    assert 'href="https://evil.example/cat.png"' in html


@pytest.mark.parametrize("url", ["/x", "//x", "javascript:x", "data:x", "http:x", "", "http://["])
def test_links_lead_to_the_web_only(url: str) -> None:
    assert not is_linkable(url)


def test_a_very_long_text_is_shown_plain() -> None:
    assert render("*a*" * 30_000).startswith('<pre class="cv-plain">*a*')


@pytest.mark.parametrize(
    "text",
    ["[a][a] " * 8_000 + "\n\n[a]: http://b.c", "![a](http://b) " * 3_900, "<http://a> " * 5_000],
)
def test_a_text_of_nothing_but_links_is_rendered_at_once(text: str) -> None:
    begun = process_time()

    shown = render(text)

    assert process_time() - begun < 1.5
    assert shown.count("<a ") == MAX_LINKS
    assert shown.count("<a ") == shown.count("</a>")


def _filled_up(columns: int, rows: int) -> str:
    return "|a" * columns + "\n" + "|-" * columns + "\n" + "|\n" * rows


def test_a_few_characters_do_not_ask_for_a_hundred_thousand_cells() -> None:
    table = _filled_up(181, 362)
    room = Room()

    shown = render("\n\n".join([table] * 5), room)

    assert CELLS - 181 < shown.count("<td") + shown.count("<th>") <= CELLS
    assert room.cells < 181
    assert "|a|a" in render(table, room)
    assert "<table" in render("|a|\n|-|\n|1|", Room(cells=2))


@pytest.mark.parametrize(
    ("first", "others"), [("", ""), ("> ", "> "), ("- ", "  "), ("text\n", "")]
)
def test_a_table_takes_what_it_shows_off_the_room(first: str, others: str) -> None:
    table = "| a \\| b | c |\n|:--|--:|\n| 1 | 2 |\n| 3 |"
    room = Room()

    shown = render(first + table.replace("\n", f"\n{others}"), room)

    assert CELLS - room.cells == shown.count("<td") + shown.count("<th ") > 0


def test_a_page_renders_so_many_characters_and_no_more() -> None:
    room = Room(characters=10)

    assert "<em>" in render("*a*", room)
    assert "<em>" not in render("*12345678*", room)
    assert "<em>" in render("*a*", room)


def test_what_cannot_be_seen_is_marked_in_code_and_kept_in_prose_where_it_is_needed() -> None:
    family = "\U0001f468\u200d\U0001f469"

    assert code(f"rm{family}") == "rm\U0001f468⟨U+200D⟩\U0001f469"
    assert prose(family) == family
    assert prose("a\u202eb\x1b[0m") == "a⟨U+202E⟩b␛[0m"


def test_a_line_is_one_line() -> None:
    assert line("a\nb\r\nc   d") == "a b c d"
    assert len(line("x" * 999, 50)) == 50


def test_a_code_block_of_an_export_cannot_be_ended_by_its_content() -> None:
    assert fenced("a\n```\nb") == "````\na\n```\nb\n````"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "a.py").write_text("print(1)\n")
    (tmp_path / "secret").write_text("secret")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "above").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    return folder


def test_a_workspace_is_listed_folders_first(root: Path) -> None:
    found = {entry.name: entry.kind for entry in files.listing(root, "").entries}

    assert next(iter(found)) == "src"
    assert found == {"src": "folder", "above": "link", "out": "link", "pipe": "other"}


def test_a_file_is_read(root: Path) -> None:
    content, size = files.beginning(root, "src/a.py")

    assert (files.text_of(content), size) == ("print(1)\n", 9)


@pytest.mark.parametrize(
    "path",
    ["out", "above/secret", "../secret", "src/../../secret", "pipe", "src", "", "src/a.py/x", "\0"],
)
def test_nothing_leads_out_of_a_workspace(root: Path, path: str) -> None:
    with pytest.raises(files.NoSuchFile):
        files.beginning(root, path)


def test_a_workspace_that_is_a_link_itself_is_not_followed(root: Path) -> None:
    with pytest.raises(files.NoSuchFile):
        files.listing(root.parent / "workspace" / "above", "")


def test_bytes_are_no_text() -> None:
    assert files.text_of(b"\x89PNG\x00") is None
    assert files.text_of("ä".encode()[:1]) == ""


def test_a_moment_of_another_year_says_the_year() -> None:
    now = timezone.now()
    then = now.replace(year=now.year - 1, day=1)

    assert str(then.year) in moment(then).rpartition(" UTC")[2]
    assert str(now.year) not in moment(now).rpartition(" UTC")[2]
