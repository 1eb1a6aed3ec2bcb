"""HTML built by calls escapes whatever is not HTML already."""

from sse_push.handlers.description.html import Html, el, inline, join, prose


def test_element_escapes_text_and_attributes() -> None:
    assert el("a", "<b>&", href='"><i>') == '<a href="&quot;&gt;&lt;i&gt;">&lt;b&gt;&amp;</a>'


def test_element_keeps_html_and_flattens_lists() -> None:
    assert el("ul", [el("li", "1"), el("li", "2")], None) == "<ul><li>1</li><li>2</li></ul>"
    assert join(Html("<wbr>"), "<") == "<wbr>&lt;"


def test_element_names_attributes_and_leaves_out_none() -> None:
    assert el("nav", class_="x", aria_label="y", id=None) == '<nav class="x" aria-label="y"></nav>'
    assert el("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_inline_marks_code_and_nothing_else() -> None:
    assert inline("a `b<` ``c`` *d* 2 * 3") == "a <code>b&lt;</code> <code>c</code> <code>d</code> 2 * 3"


def test_prose_makes_a_paragraph_of_each_part() -> None:
    assert prose("one\n\ntwo") == "<p>one</p><p>two</p>"
    assert prose("") == ""
