from hypothesis import given
from hypothesis import strategies as st

from headrace.infra import html

SCRIPT = "<script>alert(1)</script>"


@given(st.text(max_size=30))
def test_all_text_is_escaped(text: str) -> None:
    hostile = text + SCRIPT
    made = html.page(
        hostile,
        hostile,
        [
            html.Section(
                hostile,
                html.paragraph(hostile),
                html.excerpt(hostile),
                html.heading(hostile),
                html.details(hostile, html.paragraph(hostile)),
                html.tiles([(hostile, hostile, hostile)]),
                html.table([hostile], [[hostile]], hostile),
            )
        ],
    )
    assert "<script" not in made and "&lt;script&gt;" in made


def test_a_plot_is_the_same_bytes_and_loads_nothing() -> None:
    def draw(axes: object) -> None:
        axes.bar(["中文", SCRIPT], [1, 2])  # type: ignore[attr-defined]

    one, two = html.plot(draw, SCRIPT), html.plot(draw, SCRIPT)
    assert one == two and "<script" not in one and "<svg" in one
    assert 'href="http' not in one and "<image" not in one


def test_drawings_are_the_plots_of_a_page_by_section() -> None:
    def draw(axes: object) -> None:
        axes.plot([1, 2], [1, 2])  # type: ignore[attr-defined]

    plot = html.plot(draw)
    found = html.drawings(
        [
            html.Section("Loss: old", plot, plot),
            html.Section("Words", html.paragraph("x")),
        ]
    )
    assert list(found) == ["loss-old.svg", "loss-old-2.svg"]
    assert all(svg.startswith("<svg") and svg.endswith("</svg>\n") for svg in found.values())


def test_numbers_stand_to_the_right() -> None:
    assert '<td class="n">1,234</td>' in html.table(["a"], [[1234], [None]])
    assert html.cell(0.123456) == "0.1235" and html.cell(None) == "-"
