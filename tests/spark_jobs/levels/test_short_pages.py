"""Ordinary short pages pass all five levels: little text is little evidence against a page."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.spark_jobs.levels import LEVELS
from headrace.spark_jobs.texts import EN, ZH, Texts

SIMPLIFIED = [
    "外婆把晒干的辣椒挂在屋檐下，邻居的小猫总爱趴在墙头看她。",
    "山路在竹林后面分成两条，左边通往茶园，右边下到渡口。春天采茶的人天不亮就出门，傍晚挑着竹篓回来。",
    "修鞋的老师傅每天坐在巷口，一把伞，一个木箱。下雨的时候他就搬到面馆门前，等雨停了再回去。",
    "昨天夜里刮了大风，院子里的柿子落了一地。弟弟拿篮子捡了半天，挑好的洗干净，坏的留给鸡吃。",
    "火车慢慢开过大桥，车窗外是一片油菜花。孩子们数着电线杆，大人靠在座位上打瞌睡。图三：旧站台。",
    "弟弟放学以后先去河边放羊，天黑了才回家写作业。",
]
TRADITIONAL = [
    "奶奶把曬乾的蘿蔔收進竹籃裡，準備過年的時候做糕。",
    "巷子口的麵店開了三十年，老闆娘記得每一個客人愛吃甚麼。下雨天人少，她就坐在門邊織毛衣。",
    "船從碼頭慢慢離開，岸上的人還在揮手。風很大，海鷗跟著船飛了很遠。",
    "弟弟在後院種了兩棵桃樹，今年春天第一次開花。附圖b7。",
    "那座木橋去年被大水沖走了，村民現在要繞路走半個鐘頭才到學校。",
]
CANTONESE = [
    "我哋琴日去咗街市買餸，阿媽話今晚煮魚。",
    "佢成日坐喺窗邊睇書，落雨都唔肯返屋企。隔籬嘅貓走咗入嚟，瞓喺佢張凳度。",
    "呢條巷仔以前有好多舖頭，而家淨係得返一間賣涼茶嘅。街坊話嗰個阿伯啲茶最好飲。",
]
ENGLISH = [
    "My grandmother kept her buttons in a tin on the kitchen shelf.",
    "The lane turns left behind the chapel and climbs to the orchard. In October the children pick "
    "apples there and carry them home in baskets.",
    "It rained all night, so we left the bicycles in the shed and walked to the station. The train "
    "was late, and the man at the kiosk gave us tea.",
    "The cobbler sits at the corner with a stool and a wooden box. When the wind blows from the "
    "sea he moves inside the bakery until it stops. Plate b7.",
    "Our neighbour’s café serves soup “of the day” for 4 € until two o’clock.",
]


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_ordinary_short_pages_pass_every_level(level: Any) -> None:
    chinese = [*SIMPLIFIED, *TRADITIONAL, *CANTONESE]
    pages = [*chinese, *ENGLISH]
    lang = np.repeat(np.array([ZH, EN], np.int8), [len(chinese), len(ENGLISH)])
    texts = Texts(pa.array(pages), lang)
    chosen = level.settings()
    names = pa.array(["zh"] * len(chinese) + ["en"] * len(ENGLISH))
    scored = pa.table({"lang": names, **level.score(texts, chosen)})
    reason = level.decide(scored, chosen).reason.to_pylist()
    refused = [(p, r) for p, r in zip(pages, reason, strict=True) if r]
    assert not refused
