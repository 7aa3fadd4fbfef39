"""Names in other scripts become printable ASCII, and their language is named."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from checkout.acceptance.qr.latin import language, latin


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Lane Tea House", "Lane Tea House"),
        ("北京大学", "Bei Jing Da Xue"),
        ("广州南站", "Guang Zhou Nan Zhan"),
        ("安 阿 爱", "An A Ai"),
        ("女装 绿茶", "Nu Zhuang Lu Cha"),
        ("座做作昨", "Zuo Zuo Zuo Zuo"),
        ("Ｔｅａ　８８", "Tea 88"),
        ("Łódź Straße Ærø", "Lodz Strasse AEro"),
        ("鑫", ""),
        ("", ""),
    ],
)
def test_latin_form(text: str, plain: str) -> None:
    assert latin(text) == plain


@given(st.text())
def test_latin_form_is_printable_ascii_without_double_spaces(text: str) -> None:
    plain = latin(text)
    assert all(" " <= each <= "~" for each in plain)
    assert plain == " ".join(plain.split())


@pytest.mark.parametrize(
    ("text", "code"),
    [("茶", "ZH"), ("お茶", "JA"), ("차 茶", "KO"), ("чай", "RU"), ("ชา", "TH"), ("Thé", None)],
)
def test_language_of_a_script(text: str, code: str | None) -> None:
    assert language(text) == code
