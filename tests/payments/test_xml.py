"""The reader that refuses and the writer that cannot be tricked."""

from __future__ import annotations

import time

import pytest
import xmltodict
from hypothesis import given
from hypothesis import strategies as st

from kiosk.payments.wechat.xml import MAX_BODY_BYTES, MAX_FIELDS, XmlRefused, build, parse

LEGAL_TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff") | st.sampled_from("\t\n\r]>&<"),
    max_size=50,
)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,20}", fullmatch=True)


@given(st.dictionaries(NAMES, LEGAL_TEXT, max_size=20))
def test_what_is_built_is_read_back(fields: dict[str, str]) -> None:
    """Any legal text in any field comes back unchanged, in the same order, from our reader and from a plain one."""
    body = build(fields)
    assert list(parse(body).items()) == list(fields.items())
    plain = xmltodict.parse(body, strip_whitespace=False)["xml"] or {}
    assert {name: value or "" for name, value in plain.items()} == fields


def test_the_form_is_the_documented_one() -> None:
    """One line, CDATA, nothing between the tags: WeChat takes nothing else as an acknowledgement."""
    assert build({"return_code": "SUCCESS", "return_msg": "OK", "attach": ""}) == (
        b"<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg>"
        b"<attach></attach></xml>"
    )


@pytest.mark.parametrize("text", ["]]>", "]]]]>>", "]]><total_fee>1</total_fee><![CDATA[", "a]]", "]]&gt;", "\r\n\r"])
def test_no_text_breaks_out(text: str) -> None:
    """A value stays a value, whatever it holds."""
    assert parse(build({"a": text, "b": "1"})) == {"a": text, "b": "1"}


@pytest.mark.parametrize("name", ["a><b", "a b", "", "1a", "x:y", "a/", "?a", "!--", "a\n", "名", "a" * 65])
def test_no_name_injects_an_element(name: str) -> None:
    """A name that is not a plain one is our own mistake and never written."""
    with pytest.raises(ValueError, match="no name"):
        build({name: "1"})


@pytest.mark.parametrize("text", ["\x00", "a\x08", "\x1b[0m", "\x7f", "\x85", "\ud800", "\uffff"])
def test_control_characters_are_not_written(text: str) -> None:
    """What XML cannot carry is refused before it is sent."""
    with pytest.raises(ValueError, match="control"):
        build({"a": text})


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"<xml><a> 1 </a><b><![CDATA[ 2 ]]></b></xml>", {"a": " 1 ", "b": " 2 "}),
        (b"<xml><a></a><b/><c><![CDATA[]]></c></xml>", {"a": "", "b": "", "c": ""}),
        (b'<?xml version="1.0" encoding="utf-8"?>\r\n<xml>\n\t<a>1</a> <b>2</b>\n</xml>\n', {"a": "1", "b": "2"}),
        (b"<xml><a>&lt;&amp;&#62;&#x4e00;</a></xml>", {"a": "<&>一"}),
        (b"<xml><a>x<![CDATA[<y>]]>z</a></xml>", {"a": "x<y>z"}),
        (b"\xef\xbb\xbf<xml><a>1</a></xml>", {"a": "1"}),
        (b"<xml> </xml>", {}),
        (b"<xml/>", {}),
    ],
)
def test_values_are_kept_as_they_stand(body: bytes, fields: dict[str, str]) -> None:
    """Blanks around values and empty elements survive, because the signature counts them."""
    assert parse(body) == fields


def test_the_inner_message_has_another_root() -> None:
    """A decrypted refund has <root>, and nothing else will do there."""
    assert parse(b"<root><a>1</a></root>", root="root") == {"a": "1"}
    with pytest.raises(XmlRefused, match="root"):
        parse(b"<xml><a>1</a></xml>", root="root")


LAUGHS = b"".join(b'<!ENTITY l%d "%s">' % (i + 1, b"&l%d;" % i * 10) for i in range(9))
HOSTILE = {
    "deep, 140 kB": (b"<xml>" + b"<a>" * 46_000, "longer"),
    "deep, as long as allowed": (b"<xml>" + b"<a>" * 20_000, "inside"),
    "wide, 337 kB": (b"<xml>" + b"".join(b"<f%d>1</f%d>" % (i, i) for i in range(22_000)), "longer"),
    "wide, as long as allowed": (b"<xml>" + b"".join(b"<f%d>1</f%d>" % (i, i) for i in range(3_500)), "more than"),
    "one key, 400 kB": (b"<xml>" + b"<key>v</key>" * 33_000, "longer"),
    "one key, as long as allowed": (b"<xml>" + b"<key>v</key>" * 5_000, "twice"),
    "billion laughs": (b'<!DOCTYPE x [<!ENTITY l0 "ha">' + LAUGHS + b"]><xml><a>&l9;</a></xml>", "DOCTYPE"),
    "quadratic blow-up": (
        b'<!DOCTYPE x [<!ENTITY a "' + b"a" * 30_000 + b'">]><xml><a>' + b"&a;" * 10_000 + b"</a></xml>",
        "DOCTYPE",
    ),
    "external entity": (b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><xml><a>&a;</a></xml>', "DOCTYPE"),
    "parameter entity": (b'<!DOCTYPE x [<!ENTITY % a SYSTEM "http://x/">%a;]><xml><a>1</a></xml>', "DOCTYPE"),
    "bare DOCTYPE": (b"<!DOCTYPE xml><xml><a>1</a></xml>", "DOCTYPE"),
    "DOCTYPE that would give an attribute": (
        b'<!DOCTYPE xml [<!ATTLIST a b CDATA "c">]><xml><a>1</a></xml>',
        "DOCTYPE",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bodies_are_refused_at_once(name: str) -> None:
    """Each is refused at its first offence, within a millisecond of processor time (best of twenty)."""
    body, sentence = HOSTILE[name]
    best_seconds = 1.0
    for _ in range(20):
        started = time.thread_time()
        with pytest.raises(XmlRefused, match=sentence):
            parse(body)
        best_seconds = min(best_seconds, time.thread_time() - started)
    assert best_seconds < 0.001


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"<xml><a>1</a><a>1</a></xml>", "twice"),
        (b"<xml><a><b>1</b></a></xml>", "inside"),
        (b"<xml>text<a>1</a></xml>", "between"),
        (b"<xml><a>1</a><![CDATA[text]]></xml>", "between"),
        (b"<xml><a>1</a>&#160;</xml>", "between"),
        (b'<xml><a b="1">1</a></xml>', "attributes"),
        (b'<xml xmlns="urn:x"><a>1</a></xml>', "attributes"),
        (b'<xml xmlns:x="urn:x"><x:a>1</x:a></xml>', "attributes"),
        (b"<xml><x:a>1</x:a></xml>", "name"),
        ("<xml><名>1</名></xml>".encode(), "name"),
        (b"<XML><a>1</a></XML>", "root"),
        (b"<root><a>1</a></root>", "root"),
        (b"<xml><!-- --><a>1</a></xml>", "comment"),
        (b"<xml><?php 1?><a>1</a></xml>", "instruction"),
        (b'<?xml-stylesheet href="x"?><xml><a>1</a></xml>', "instruction"),
        (b"<xml><a>&undefined;</a></xml>", "well-formed"),
        (b"<xml><a>1</a>", "well-formed"),
        (b"<xml><a>1</a></xml><xml/>", "well-formed"),
        (b"<xml><a>1</b></xml>", "well-formed"),
        (b"", "well-formed"),
        (b"SUCCESS", "well-formed"),
        (b'{"a": 1}', "well-formed"),
        (b"<xml><a>\x01</a></xml>", "well-formed"),
        (b"<xml><a>&#1;</a></xml>", "well-formed"),
        (b"<xml><a>&#x7f;</a></xml>", "control"),
        (b"<xml><a>\xc2\x85</a></xml>", "control"),
        (b"<xml><a>\xff</a></xml>", "UTF-8"),
        ("<xml><a>红</a></xml>".encode("gbk"), "UTF-8"),
        ('<?xml version="1.0" encoding="UTF-16"?><xml><a>1</a></xml>'.encode("utf-16"), "UTF-8"),
        ("<xml><a>1</a></xml>".encode("utf-16-le"), "UTF-8"),
        ("<xml><a>1</a></xml>".encode("utf-32-be"), "UTF-8"),
        (b'<?xml version="1.0" encoding="UTF-7"?><xml><a>+ADw-</a></xml>', "UTF-8"),
        (b'<?xml version="1.0" encoding="GBK"?><xml><a>1</a></xml>', "UTF-8"),
        (b'<?xml version="1.1"?><xml><a>1</a></xml>', r"XML 1\.0|well-formed"),
    ],
)
def test_what_no_message_has_is_refused(body: bytes, sentence: str) -> None:
    """Whatever two readers could read in two ways is refused, in a sentence that names it."""
    with pytest.raises(XmlRefused, match=sentence):
        parse(body)


def test_the_limits_are_where_they_are_said_to_be() -> None:
    """The greatest allowed number of fields and bytes is taken, one more is not."""
    fields = {f"f{i}": "1" for i in range(MAX_FIELDS)}
    assert parse(build(fields)) == fields
    with pytest.raises(XmlRefused):
        parse(build({**fields, "g": "1"}))
    around = len(build({"a": "x"})) - 1
    assert parse(build({"a": "x" * (MAX_BODY_BYTES - around)}))
    with pytest.raises(XmlRefused):
        parse(build({"a": "x" * (MAX_BODY_BYTES - around + 1)}))


@given(st.binary(max_size=200) | st.text("<xml>/a1&;![]CDATA-?\"' =", max_size=60).map(str.encode))
def test_noise_raises_nothing_else(body: bytes) -> None:
    """Whatever comes in is fields or XmlRefused."""
    try:
        assert all(isinstance(value, str) for value in parse(body).values())
    except XmlRefused as error:
        assert str(error).endswith(".")  # noqa: PT017 - either end is right; the sentence is checked where there is one
