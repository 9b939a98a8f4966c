"""Traditional characters are read as simplified ones; nothing else changes."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.spark_jobs.curate.level_runner import decide
from headrace.spark_jobs.folding import SHARE, Table
from headrace.spark_jobs.kernels.minhash import Matcher, signatures
from headrace.spark_jobs.levels import LEVELS
from headrace.spark_jobs.settings import CurateSettings
from headrace.spark_jobs.texts import EN, OTHER, ZH, Texts, folding

SIMPLE = Table.build({"國": "国", "後": "后", "體": "体"}, {"著": "着", "「": "“"})


def texts(given: list[str], lang: int = ZH) -> Texts:
    return Texts(pa.array(given, pa.string()), np.full(len(given), lang, np.int8))


def folded(given: list[str], lang: int = ZH, table: Table | None = None) -> list[str]:
    held = texts(given, lang)
    data = (table or folding()).fold(held.data, held.offsets, held.lang == ZH).tobytes()
    ends = held.offsets.tolist()
    return [data[a:b].decode() for a, b in pairwise(ends)]


@pytest.mark.parametrize(
    ("traditional", "simplified"),
    [
        ("這個國家的法律對於個人資料有嚴格的規定。", "这个国家的法律对于个人资料有严格的规定。"),
        ("他看著窗外，說：「後來呢？」", "他看着窗外，说：“后来呢？”"),
        ("醫師建議患者乾燥後再貼上膠布。", "医师建议患者干燥后再贴上胶布。"),
        ("裏面的衞生設備為舊式。", "里面的卫生设备为旧式。"),
    ],
)
def test_traditional_text_is_read_as_simplified(traditional: str, simplified: str) -> None:
    assert folded([traditional]) == [simplified]


@pytest.mark.parametrize(
    "text",
    [
        "乾隆年间，著名学者於先生著有《徵信录》，覆盖面很广，慰藉了许多人。",
        "他说：「好的」。皇后在里面，台风过后天气干燥，发现头发少了。",
        "站在瞭望塔上能看见一夥人。",
    ],
)
def test_simplified_text_is_not_changed(text: str) -> None:
    assert folded([text]) == [text]


def test_a_traditional_name_in_simplified_text_folds_alone() -> None:
    line = "乾隆年间的著作很多，" * 4
    assert folded([f"{line}作者是國學家。"]) == [f"{line}作者是国学家。"]


def test_other_languages_are_not_changed() -> None:
    line = "日本國の會社と東京の學校へ行きます。"
    assert folded([line], OTHER) == [line] and folded([line], EN) == [line]
    mixed = Texts(pa.array([line, "國"]), np.array([OTHER, ZH], np.int8))
    assert mixed.folded.tobytes().decode() == f"{line}国"


def test_text_without_traditional_characters_is_not_copied() -> None:
    held = texts(["法律规定", "plain text"])
    assert held.folded is held.data
    assert texts([]).folded.size == 1


@given(st.lists(st.text(st.sampled_from("國後體著「国着a é𠀀\n"), max_size=40), max_size=5))
def test_folding_is_what_replacing_characters_one_by_one_gives(given: list[str]) -> None:
    expected = []
    for text in given:
        both = sum(text.count(c) for c in "國後體")
        chinese = both + sum(text.count(c) for c in "著国着")
        all_of_it = both > SHARE * chinese
        pairs: dict[str, str | int | None] = {"國": "国", "後": "后", "體": "体"}
        if all_of_it:
            pairs |= {"著": "着", "「": "“"}
        expected.append(text.translate(str.maketrans(pairs)))
    assert folded(given, ZH, SIMPLE) == expected


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=5))
def test_folding_keeps_every_offset_and_folds_once(given: list[str]) -> None:
    once = folded(given)
    assert [len(t.encode()) for t in once] == [len(t.encode()) for t in given]
    assert folded(once) == once


def test_a_slice_of_a_batch_is_folded_in_its_place() -> None:
    whole = pa.array(["國國", "乾國", "體"])
    part = Texts(whole[1:2], np.array([ZH], np.int8))
    begin, end = part.offsets.tolist()
    assert part.folded[begin:end].tobytes().decode() == "干国"
    assert part.folded.tobytes().decode() == "國國干国體"


def test_pairs_of_another_length_are_refused() -> None:
    for pair in ({"國": "a"}, {"é": "e"}, {"𠀀": "国"}):
        with pytest.raises(ValueError, match="three bytes"):
            Table.build(pair, {})


TWINS = (
    (
        "國務院關於修改個人所得稅法實施條例的決定，自公布之日起施行。納稅義務人應當依照本條例的"
        "規定申報納稅，稅務機關應當為納稅義務人提供便利。違反規定的，由主管機關責令改正，並處罰款。",
        "国务院关于修改个人所得税法实施条例的决定，自公布之日起施行。纳税义务人应当依照本条例的"
        "规定申报纳税，税务机关应当为纳税义务人提供便利。违反规定的，由主管机关责令改正，并处罚款。",
    ),
    (
        "這座圖書館建於上個世紀，藏書超過三十萬冊。每天早上開門以後，許多學生來這裡讀書，他們坐在"
        "窗邊看著外面的風景，寫完作業才回家。週末還有關於歷史和藝術的講座。",
        "这座图书馆建于上个世纪，藏书超过三十万册。每天早上开门以后，许多学生来这里读书，他们坐在"
        "窗边看着外面的风景，写完作业才回家。周末还有关于历史和艺术的讲座。",
    ),
    (
        "患者連續發熱三天，伴有頭痛、咳嗽。檢查後診斷為肺炎，醫生給予抗生素治療，並囑咐多飲水、"
        "臥床休息。兩週後複查，症狀消失，血壓正常。",
        "患者连续发热三天，伴有头痛、咳嗽。检查后诊断为肺炎，医生给予抗生素治疗，并嘱咐多饮水、"
        "卧床休息。两周后复查，症状消失，血压正常。",
    ),
    (
        "這幫外地人素質低，髒得要命，滿嘴謊話，都該滾回老家。黑人又懶又蠢，跟畜生一樣，噁心死了。",
        "这帮外地人素质低，脏得要命，满嘴谎话，都该滚回老家。黑人又懒又蠢，跟畜生一样，恶心死了。",
    ),
)


def test_every_level_judges_a_traditional_text_like_its_simplified_twin() -> None:
    table = decide(pa.table({"text": [t for pair in TWINS for t in pair]}), CurateSettings(), 1)
    assert set(table["lang"].to_pylist()) == {"zh"}
    for name in ("semantic_score", "bias_score", "domain_score"):
        score = table[name].to_numpy()
        assert np.abs(score[::2] - score[1::2]).max() < 0.02, name
    for name in ("level", "reason", "domain", "fact_checks"):
        value = table[name].to_pylist()
        assert value[::2] == value[1::2]
    # The detail quotes the text as it is.
    assert "髒得要命" in table["detail"][6].as_py()


def test_levels_without_the_table_would_not_agree() -> None:
    """The twins are a test: read as they are, level 2 tells them apart."""
    semantics = LEVELS[1]
    given = [t for pair in TWINS for t in pair]
    raw = semantics.score(texts(given, OTHER), CurateSettings().of(semantics))
    score = raw["semantic_score"].to_numpy()
    assert (score[::2] < score[1::2] - 0.02).any()


def test_a_traditional_twin_is_a_near_duplicate() -> None:
    signature, bands = signatures(texts([t for pair in TWINS for t in pair]))
    band, row = bands.ravel(), np.repeat(np.arange(len(bands)), bands.shape[1])
    order = np.argsort(band, kind="stable")
    u, v = Matcher(0.8).match(band[order], row[order].astype(np.int64), signature[row[order]])
    assert set(zip(u.tolist(), v.tolist(), strict=True)) == {(0, 1), (2, 3), (4, 5), (6, 7)}
