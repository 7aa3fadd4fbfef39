"""The report: one HTML file, a table and JSON, all from the same values."""

from __future__ import annotations

import html.parser
import io
import json
import re
from dataclasses import replace

import pytest
from markupsafe import Markup
from rich.console import Console

from checkout.comparison.report.json_report import as_json
from checkout.comparison.report.markup import join, tag
from checkout.comparison.report.page import html_page
from checkout.comparison.report.terminal_tables import print_report
from checkout.comparison.results import Comparison
from tests.checkout.comparison.comparison_by_hand import HOSTILE, made_comparison


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return made_comparison(places=("taxi",), country=True)


@pytest.fixture(scope="module")
def page(comparison: Comparison) -> str:
    return html_page(comparison)


class Balance(html.parser.HTMLParser):
    """Notes every element that is not closed where it should be."""

    void = frozenset({"meta", "br", "hr", "img", "link", "wbr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [given["href"] or ""] if "href" in given else []
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def read(page: str) -> Balance:
    balance = Balance()
    balance.feed(page)
    return balance


def test_every_element_is_closed_and_every_link_leads_somewhere(page: str) -> None:
    balance = read(page)
    assert not balance.wrong
    assert not balance.open
    assert len(balance.ids) == len(set(balance.ids))
    assert {link[1:] for link in balance.links} <= set(balance.ids)


def test_hostile_text_stays_text(page: str) -> None:
    assert "<script" not in page.lower()
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;quoted&quot;" in page


def test_the_page_asks_nothing_of_any_host(page: str) -> None:
    assert not re.search(r"(src|href)=\"(?!#)", page)
    assert "url(" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


def test_light_dark_and_print_are_provided_for(page: str) -> None:
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    assert 'name="viewport"' in page


def test_every_section_of_the_comparison_is_on_the_page(page: str) -> None:
    sections = ("glance", "sale", "time", "money", "overtaking", "places", "country", "faults")
    for name in (*sections, "attacks"):
        assert f'id="{name}"' in page
    assert "EMV Book 3, 6.5.8" in page
    assert "Deutsche Bundesbank" in page


def test_the_question_is_answered_place_by_place(page: str) -> None:
    answers = page[page.index('id="overtaking"') : page.index('id="place-taxi"')]
    assert "taps overtake at" in answers
    assert "CNY\N{NO-BREAK SPACE}1000" in answers
    assert ">codes lead<" in answers or ">taps lead<" in answers


def test_a_countrys_day_is_in_page_text_and_json(comparison: Comparison, page: str) -> None:
    day = comparison.country
    assert day is not None
    section = page[page.index('id="country"') : page.index('id="faults"')]
    assert f"with {day.fates.arrived:,} customers".replace(",", " ") in section
    out = io.StringIO()
    print_report(comparison, Console(file=out, width=140, highlight=False))
    shown = out.getvalue()
    assert "a country's day" in shown
    for place in day.places:
        assert place.scenario.title in section
        assert place.scenario.title in shown
    assert as_json(comparison)["measured"]["country"] == day.as_json()


def test_without_a_country_there_is_no_section_of_it(comparison: Comparison) -> None:
    alone = replace(comparison, country=None)
    out = io.StringIO()
    print_report(alone, Console(file=out, width=140, highlight=False))
    assert 'id="country"' not in html_page(alone)
    assert "a country's day" not in out.getvalue()
    assert as_json(alone)["measured"]["country"] is None


def test_a_cell_that_cannot_be_says_why_on_every_side(comparison: Comparison) -> None:
    row = replace(comparison.attacks[0], absent={"qr": "a code is no secret"}, remedy="a limit")
    told = replace(comparison, attacks=(row,))
    page, out = html_page(told), io.StringIO()
    print_report(told, Console(file=out, width=200, highlight=False))
    assert "cannot be: a code is no secret" in page
    assert "What helps: a limit." in page
    assert "cannot be: a code is no secret" in out.getvalue()
    assert as_json(told)["attacks"][0]["absent"] == {"qr": "a code is no secret"}


def test_json_is_one_object_that_names_what_was_measured(comparison: Comparison) -> None:
    shown = json.loads(json.dumps(as_json(comparison)))
    assert shown["run"]["payments"] == 60
    assert set(shown["measured"]) == {"ways", "scenarios", "country", "sweeps", "stories"}
    tap = shown["ways"]["tap"]
    assert tap["approved"] + tap["declined"] == tap["sales"]
    assert sum(tap["income_minor"].values()) == tap["sold_minor"]
    assert shown["attacks"][0]["cells"][0]["verdict"] == "works"


def test_json_outside_measured_does_not_hang_on_measured_times(comparison: Comparison) -> None:
    usual, slower = as_json(comparison), as_json(_slower(comparison))
    assert usual.pop("measured") != slower.pop("measured")
    assert usual == slower


def _slower(comparison: Comparison) -> Comparison:
    columns = tuple(
        replace(
            column,
            sales=tuple(
                replace(sale, software_ms=sale.software_ms * 7, certain_shop_ms=99.0)
                for sale in column.sales
            ),
        )
        for column in comparison.columns
    )
    return replace(comparison, columns=columns)


def test_the_terminal_shows_ways_places_and_matrices(comparison: Comparison) -> None:
    out = io.StringIO()
    print_report(comparison, Console(file=out, width=140, highlight=False))
    shown = out.getvalue()
    for words in ("tap, card", "software, median (measured)", "Taxi", "Relayed tap", "works"):
        assert words in shown
    assert "does not arise" in shown


def test_markup_escapes_all_but_markup() -> None:
    assert tag("b", HOSTILE) == join(Markup("<b>"), HOSTILE, Markup("</b>"))
    assert tag("i", title='"<') == '<i title="&quot;&lt;"></i>'
    assert tag("td", None, 0, ["a", Markup("<br>")], class_="n") == '<td class="n">0a<br></td>'
    assert tag("details", open=True, hidden=False) == "<details open></details>"
