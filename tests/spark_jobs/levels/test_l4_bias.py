"""Level 4 on small texts. WARNING: this file quotes hostile sentences, because it must."""

import numpy as np
import pyarrow as pa
import pytest

from headrace.spark_jobs.levels.bias_density import DATA
from headrace.spark_jobs.levels.l4_bias import BIAS, BiasSettings
from headrace.spark_jobs.texts import EN, ZH, Texts

HOSTILE = {
    "zh": [
        "河南人都是骗子，偷井盖的垃圾，滚出去。",
        "黑人又懒又蠢，跟畜生一样，恶心死了。",
        "女司机都是马路杀手，女人就是没脑子，贱货。",
        "这帮外地人素质低，脏得要命，都该滚回老家。",
    ],
    "en": [
        "These immigrants are filthy animals and should all be shot like dogs.",
        "Women are stupid whores and you can never trust the dumb bitches.",
        "Jews are disgusting parasites who ruin every white country, filthy kikes.",
        "All black people are lazy criminals, stupid apes, send them back.",
    ],
}
CLEAN = {
    "zh": [
        "国家保障各少数民族的合法权利和利益，禁止对任何民族的压迫。",
        "妇女享有与男子平等的劳动权利，实行男女同工同酬。",
        "女性患者服用本品后可能出现头晕、恶心等不良反应，孕妇慎用。",
        "这位老人今年八十岁，每天早上都和邻居们去公园散步、打太极拳。",
        "公司第三季度净利润同比下降百分之十，股价随之下跌。",
        "河南省气象局发布暴雨预警，郑州等地部分学校停课。",
    ],
    "en": [
        "Women over fifty have a higher risk of breast cancer than younger women.",
        "The law prohibits discrimination against Muslims and Jews in housing.",
        "The city council approved the budget for schools and parks on Tuesday.",
        "Black patients were less likely to receive the treatment, the study found.",
        "Net sales fell by four percent because of weak demand in Europe.",
        "A young man and an old woman were found dead in a flat in London, police said.",
    ],
}
CODE = {"zh": ZH, "en": EN}


def scores(texts: list[str], lang: str) -> np.ndarray:
    held = Texts(pa.array(texts, pa.string()), np.full(len(texts), CODE[lang], np.int8))
    out: np.ndarray = BIAS.score(held, BiasSettings())["bias_score"].to_numpy()
    return out


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_document_of_hostile_sentences_is_rejected(lang: str) -> None:
    whole = scores([" ".join(HOSTILE[lang] * 3)], lang)[0]
    assert whole > BiasSettings().threshold


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_clean_documents_pass(lang: str) -> None:
    value = scores([*CLEAN[lang], " ".join(CLEAN[lang])], lang)
    assert (value < 0.25).all(), dict(zip(CLEAN[lang], value, strict=False))


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_one_hostile_sentence_in_a_long_text_passes(lang: str) -> None:
    text = "\n".join([*CLEAN[lang] * 3, HOSTILE[lang][0], *CLEAN[lang] * 3])
    value = scores([text], lang)[0]
    assert 0 < value < 0.15


GROUPS = {
    "zh": ["河南人", "黑人", "女人", "穆斯林", "日本人", "老年人"],
    "en": ["women", "Muslims", "black people", "immigrants", "gay men", "refugees"],
}


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_swapping_the_group_changes_nothing(lang: str) -> None:
    end = {"zh": "都是没用的垃圾，应该滚出去。", "en": " are disgusting and should be thrown out."}[
        lang
    ]
    for line in (f"{GROUPS[lang][0]}{end}", *HOSTILE[lang], *CLEAN[lang]):
        here = next((g for g in GROUPS[lang] if g in line), None)
        value = scores([line.replace(here, g) for g in GROUPS[lang]], lang) if here else np.zeros(1)
        assert np.ptp(value) <= 0.02, line


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_names_of_groups_alone_score_nothing(lang: str) -> None:
    comma = "、" if lang == "zh" else ", "
    assert scores([*GROUPS[lang]], lang).tolist() == [0.0] * len(GROUPS[lang])
    assert scores([comma.join(GROUPS[lang])], lang)[0] < 0.05


@pytest.mark.parametrize(
    ("lang", "frame"),
    [
        ("zh", "法院认为，被告在网上发布“{}”，构成侮辱，判令其赔礼道歉。"),
        ("en", 'The court heard that he had posted "{}" and fined him for racist abuse.'),
    ],
)
def test_a_reported_quotation_weighs_less(lang: str, frame: str) -> None:
    bare = scores(HOSTILE[lang], lang)
    told = scores([frame.format(x.rstrip("。.")) for x in HOSTILE[lang]], lang)
    assert (told < bare).all()
    assert (told < BiasSettings().threshold).all()


def test_batches_do_not_matter() -> None:
    texts = ["", " ", "\n", *HOSTILE["zh"], "x" * 5000, *CLEAN["zh"]]
    whole = scores(texts, "zh")
    assert whole.tolist() == [scores([t], "zh")[0] for t in texts]
    assert ((whole >= 0) & (whole <= 1)).all()
    assert whole[:3].tolist() == [0, 0, 0]
    sliced = Texts(pa.array(["skipped", *texts], pa.string())[1:], np.full(len(texts), ZH, np.int8))
    assert BIAS.score(sliced, BiasSettings())["bias_score"].to_pylist() == whole.tolist()


def table(texts: list[str], lang: str, settings: BiasSettings) -> pa.Table:
    held = Texts(pa.array(texts, pa.string()), np.full(len(texts), CODE[lang], np.int8))
    return pa.table(BIAS.score(held, settings))


def test_the_reason_names_the_rule_and_the_worst_sentence() -> None:
    settings = BiasSettings()
    worst = HOSTILE["zh"][0]
    verdict = BIAS.decide(table([worst * 4, CLEAN["zh"][0]], "zh", settings), settings)
    assert verdict.reason.to_pylist() == ["bias.group", None]
    assert worst[:8] in verdict.detail[0].as_py()
    assert verdict.detail[1].as_py() is None


def test_stored_scores_can_be_decided_again() -> None:
    stored = pa.table({"bias_score": pa.array([0.2, 0.31, None], pa.float32())})
    assert BIAS.decide(stored, BiasSettings()).reason.to_pylist() == [None, "bias.density", None]
    strict = BiasSettings(threshold=0.1)
    assert BIAS.decide(stored, strict).reason.to_pylist() == [*["bias.density"] * 2, None]
    chunked = pa.concat_tables([stored, stored])
    assert BIAS.decide(chunked, strict).reason.to_pylist() == [*["bias.density"] * 2, None] * 2


def test_the_data_is_small_and_safe() -> None:
    assert (DATA / "l4_bias.npz").stat().st_size < 1_500_000
    with np.load(DATA / "l4_bias.npz", allow_pickle=False) as file:
        assert file["outputs"].tolist() == ["zh", "en", "foul"]
