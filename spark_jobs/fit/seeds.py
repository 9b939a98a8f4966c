"""Seed lexicons of level 5: terms that, met densely, mark a passage as legal, medical or financial.

Written for headrace. They only make pseudo-labels on text whose source says too little (a daily
paper's economy pages, an encyclopaedia's articles on diseases); the level itself has no list.
"""

from __future__ import annotations

FINANCIAL_ZH = (
    "股份 股票 股东 股价 股市 证券 上市公司 挂牌 涨停 跌停 涨幅 跌幅 板块 指数 沪指 深成指 创业板 科创板 A股 "
    "港股 美股 基金 债券 国债 期货 期权 汇率 外汇 人民币汇率 利率 存款 贷款 信贷 央行 中国人民银行 商业银行 "
    "证监会 银保监会 交易所 融资 募资 投资者 机构投资者 净利润 营业收入 营收 毛利率 同比增长 同比下降 环比 "
    "季报 年报 半年报 财报 业绩 每股收益 市盈率 市值 估值 分红 派息 减持 增持 回购 质押 并购 收购 重组 "
    "亿元 万元 亿美元 财政 税收 通货膨胀 通胀 货币政策 降息 加息 降准 逆回购 流动性 成交额 成交量 资金净流入 "
    "主力资金 研报 券商 评级 目标价 对冲 套利 保险公司 保费 信托 理财 资产管理 不良贷款 坏账 金融 金融机构 "
    "金融危机 银行 经济增长 国内生产总值 进出口 贸易顺差 固定资产投资 房地产开发 产能 订单 销售额"
).split()
LEGAL_ZH = (
    "本法 本条例 本办法 本规定 第一条 第二条 法律责任 行政处罚 罚款 人民法院 人民检察院 诉讼 仲裁 原告 被告 判决 "
    "裁定 刑事责任 有期徒刑 违法所得 依法 依照 法律、行政法规 合同 当事人 民事 行政机关 主管部门 施行 废止 修正 "
    "条款 用户协议 隐私政策 知识产权 侵权 违约 赔偿责任 管辖 司法解释"
).split()
MEDICAL_ZH = (
    "患者 症状 治疗 病情 医院 医生 药物 疾病 感染 炎症 手术 检查 诊断 临床 疼痛 发热 发烧 咳嗽 血压 血糖 糖尿病 "
    "高血压 肿瘤 癌症 癌 心脏 肝脏 肾脏 胃炎 肺炎 病毒 疫苗 剂量 口服 注射 不良反应 副作用 过敏 化疗 综合征 "
    "适应症 禁忌 中药 怀孕 月经 皮肤 尿 血液 免疫 抗生素 病因 并发症 康复"
).split()
FINANCIAL_EN = (
    "shares shareholders stock stocks dividend revenue revenues earnings profit profits quarter fiscal "
    "bank banks banking loan loans credit interest inflation monetary currency bond bonds equity investors "
    "investment securities market markets trading assets liabilities tax taxes income expense expenses cash "
    "million billion acquisition merger fund funds hedge exchange deficit accounting depreciation amortization "
    "impairment goodwill debt maturity lease payable receivable economy economic finance financial"
).split()
LEGAL_EN = (
    "agreement license licensee licensor hereby herein thereof hereunder warranty warranties liability "
    "indemnify terms privacy jurisdiction arbitration court plaintiff defendant statute clause party parties "
    "copyright consent terminate termination governing law rights disclaimer infringement"
).split()
MEDICAL_EN = (
    "patient patients symptoms disease diseases syndrome treatment diagnosis clinical therapy cancer tumor "
    "infection blood surgery drug drugs dose mg chronic acute disorder pain doctor physician medication "
    "genetic mutation mutations heart liver kidney lung diabetes vaccine virus antibiotic medicine medical health"
).split()

SEEDS = {
    ("zh", "financial"): FINANCIAL_ZH,
    ("zh", "legal"): LEGAL_ZH,
    ("zh", "medical"): MEDICAL_ZH,
    ("en", "financial"): FINANCIAL_EN,
    ("en", "legal"): LEGAL_EN,
    ("en", "medical"): MEDICAL_EN,
}
