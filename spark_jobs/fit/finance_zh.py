"""Chinese financial prose made from phrases, because no open set of it was found.

Sentences as flashes, announcements, market reports, research notes, macro figures and share forums
have them, with drawn names and figures. They teach vocabulary and the n-grams of the genre, not
facts. Written for headrace.
"""

from __future__ import annotations

import random

_PLACE = "北京 上海 深圳 广州 杭州 江苏 浙江 山东 福建 四川 湖北 安徽 重庆 天津 湖南 河南 陕西 香港 海南 云南".split()
_NAME = "华 信 中 国 泰 新 长 江 东 方 海 天 金 银 龙 鑫 恒 盛 宏 远 瑞 丰 科 达 利 源 康 安 通 联 创 兴 美 光".split()
_TRADE = (
    "医药 生物 电子 科技 新能源 汽车 地产 置业 证券 银行 保险 信托 钢铁 煤业 石化 水泥 电力 通信 传媒 半导体 光伏 锂业 "
    "食品 酒业 乳业 农业 航空 物流 港口 机械 电气 软件 网络 环保 建设 稀土 有色 化工 家居 纺织 旅游 零售 教育 软件"
).split()
_KIND = "股份 集团 控股 公司 有限公司 实业".split()
_SECTOR = (
    "白酒 半导体 新能源汽车 锂电池 光伏 军工 券商 银行 保险 房地产 煤炭 钢铁 有色金属 医药 消费电子 5G 人工智能 云计算 "
    "农业 养殖 化工 石油 天然气 航运 传媒 游戏 食品饮料 家电 建材 水泥 环保 电力 黄金 稀土 芯片 医美 旅游"
).split()
_BODY = (
    "证监会 央行 银保监会 财政部 国家统计局 商务部 发改委 交易所 上交所 深交所 外汇局 美联储 欧洲央行 国务院 工信部 "
    "中国人民银行 国资委 乘联会 海关总署 国际货币基金组织 世界银行 中指研究院 标普 穆迪 惠誉 高盛 摩根士丹利 瑞银"
).split()
_GOOD = "原油 黄金 白银 铜 铝 镍 锌 螺纹钢 铁矿石 焦炭 大豆 玉米 棉花 白糖 生猪 天然气 动力煤 纯碱 甲醇".split()
_ITEM = (
    "净利润 营业收入 归母净利润 扣非净利润 销售额 成交额 交付量 毛利率 每股收益 订单 产能 现金流 总资产 负债率 融资余额 "
    "北向资金 新增贷款 社会融资规模 进出口总额 CPI PPI GDP M2 出口 零售总额 工业增加值 固定资产投资 存款准备金率"
).split()

_SENTENCES = (
    "{company}公告，公司{year}年{quarter}实现{item}{money}，同比{move}{pct}。",
    "{company}：预计{year}年归属于上市公司股东的净利润为{money}至{money}，同比{move}{pct}至{pct}。",
    "{company}发布{year}年业绩快报，实现营业总收入{money}，{item}{money}，同比分别{move}{pct}和{pct}。",
    "【{company}：拟{money}收购{company}{pct}股权】{company}公告，拟以现金方式收购{company}{pct}股权，交易完成后将纳入合并报表范围。",
    "{company}公告，控股股东拟减持不超过{pct}公司股份，减持期间为公告之日起15个交易日后的6个月内。",
    "{company}：股东计划增持公司股份，增持金额不低于{money}，资金来源为自有资金。",
    "{company}公告，拟以{money}至{money}回购公司股份，用于员工持股计划或股权激励。",
    "{company}中标{place}项目，中标金额约{money}，占公司{year}年营业收入的{pct}。",
    "{company}与{company}签署战略合作协议，双方将在{sector}、{sector}等领域开展合作。",
    "{company}收到{body}问询函，要求公司说明{item}下滑的原因及商誉减值的合理性。",
    "{company}完成{money}融资，由{company}领投，老股东跟投，资金将用于{sector}业务的研发和市场拓展。",
    "{company}在{place}成立新公司，注册资本{money}，经营范围包含{sector}、投资管理、股权投资等。",
    "天眼查显示，近日{company}发生工商变更，新增{company}为股东，注册资本由{money}增至{money}。",
    "{body}：{month}月{item}同比{move}{pct}，环比{move}{pct}，市场预期为{pct}。",
    "{body}今日开展{money}7天期逆回购操作，中标利率{pct}，今日有{money}逆回购到期，净投放{money}。",
    "{body}表示，将继续实施稳健的货币政策，保持流动性合理充裕，引导金融机构加大对实体经济的支持力度。",
    "{body}数据显示，前{n}个月全国{item}{money}，同比{move}{pct}，两年平均增长{pct}。",
    "人民币兑美元中间价报6.{n}，较前一交易日{move}{n}个基点，在岸人民币汇率收盘报6.{n}。",
    "沪深两市{half}盘，沪指{move}{pct}，深成指{move}{pct}，创业板指{move}{pct}，{sector}、{sector}板块领涨，{sector}板块走弱。",
    "A股三大指数集体{move}，两市成交额突破{money}，北向资金净流入{money}，{sector}概念股掀起涨停潮。",
    "港股恒生指数{move}{pct}，恒生科技指数{move}{pct}，{company}{move}超{pct}，领跌蓝筹。",
    "美股三大指数收盘涨跌不一，道指{move}{pct}，纳指{move}{pct}，标普500指数{move}{pct}，热门中概股多数{move}。",
    "{sector}板块异动拉升，{company}涨停，{company}、{company}、{company}等跟涨。",
    "国内期货夜盘收盘，{good}主力合约{move}{pct}，{good}{move}{pct}，{good}{move}{pct}。",
    "WTI{good}期货收{move}{pct}，报{n}美元/桶；COMEX{good}期货{move}{pct}，报{n}美元/盎司。",
    "{company}{half}盘{move}{pct}，报{n}元，总市值{money}，换手率{pct}，主力资金净流入{money}。",
    "{company}研报指出，{sector}行业景气度持续向上，维持“买入”评级，目标价{n}元，对应{year}年市盈率{n}倍。",
    "{company}首席经济学家认为，{item}的回升表明内需正在修复，后续财政政策仍有发力空间。",
    "分析人士表示，随着{sector}需求回暖，产业链上下游企业有望受益，但需警惕原材料价格上涨风险。",
    "基金经理表示，看好{sector}和{sector}的长期投资机会，短期市场波动不改中长期向好趋势。",
    "某私募基金投资总监称，当前估值处于历史低位，建议投资者逢低布局{sector}等低估值板块。",
    "{body}发布关于进一步规范{sector}企业债券发行的通知，要求强化信息披露，防范化解金融风险。",
    "银行理财产品收益率持续走低，{n}只产品跌破净值，投资者应根据自身风险承受能力选择产品。",
    "{year}年{quarter}，商业银行不良贷款余额{money}，不良贷款率{pct}，较上季末{move}{pct}。",
    "{place}{n}宗地块成功出让，总成交金额{money}，溢价率{pct}，{company}以{money}竞得其中一宗。",
    "{place}今年首批{n}个重大项目集中开工，总投资{money}，涉及{sector}、{sector}、基础设施等领域。",
    "{company}宣布上调{sector}产品价格，涨幅{pct}，主要受上游原材料成本上涨影响。",
    "{company}首次公开发行股票并在科创板上市申请获受理，拟募集资金{money}，保荐机构为{company}证券。",
    "{company}向港交所递交招股书，{year}年至{year}年营收分别为{money}、{money}，经调整净亏损{money}。",
    "新股{company}今日申购，发行价{n}元/股，发行市盈率{n}倍，单一账户申购上限{n}万股。",
    "{company}发行{money}公司债券，票面利率{pct}，期限{n}年，评级为AA+。",
    "{company}债券违约，未能按期兑付本息{money}，评级机构将其主体信用等级下调至C。",
    "{company}被实施退市风险警示，股票简称变更为*ST，股票价格日涨跌幅限制为5%。",
    "{company}股票连续三个交易日内收盘价格涨幅偏离值累计超过{pct}，属于股票交易异常波动。",
    "{company}年度利润分配预案为每10股派发现金红利{n}元（含税），不送红股，不以公积金转增股本。",
    "截至{month}月末，公司总资产{money}，归属于上市公司股东的净资产{money}，资产负债率{pct}。",
    "报告期内，公司营业成本增加{pct}，主要系{sector}业务规模扩大及计提资产减值准备所致。",
    "保险资金运用余额{money}，其中债券占{pct}，股票和证券投资基金占{pct}，年化投资收益率{pct}。",
    "支付机构备付金、第三方支付和数字人民币试点稳步推进，{place}等地发放消费红包{money}。",
    "机构调研：{company}、{company}等获{n}家以上机构调研，基金公司重点关注产能释放和订单情况。",
    "龙虎榜：{company}今日涨停，机构净买入{money}，{place}营业部净卖出{money}。",
    "{body}预计{year}年全球经济增速为{pct}，较此前预测下调{pct}，通胀压力和债务风险上升。",
    "{body}宣布加息{n}个基点，将联邦基金利率目标区间上调至{pct}至{pct}，符合市场预期。",
    "大盘这走势太弱了，{sector}都套牢了，{company}主力还在出货，散户别急着抄底，等放量突破均线再进。",
    "{company}明天要不要割肉？成本{n}块，仓位太重了，庄家洗盘还是出货，看不懂这K线。",
    "请问借款{n}万元分期还款，年利率{pct}，每月需要还多少，逾期会不会影响征信和信用卡额度？",
    "贷款平台催收，信用卡逾期{n}个月，额度被降，账单金额{n}元，想协商分期还款。",
    "{company}汽车{month}月交付新车{n}辆，同比{move}{pct}；全年累计销量{n}万辆，市场份额{pct}。",
    "{company}电商平台{quarter}活跃用户达{n}万，GMV同比{move}{pct}，广告收入{money}，股价盘后{move}{pct}。",
    "媒体报道，{company}拟裁员{pct}，CEO在内部信中称将聚焦核心业务、降本增效，董事会已批准该计划。",
    "{company}董事长辞职，董事会选举其接任者，并聘任新的财务总监和董事会秘书。",
    "公司主营业务为{sector}产品的研发、生产和销售，客户包括{company}、{company}等，前五大客户销售占比{pct}。",
    "记者从{place}获悉，{sector}产业园一期建成投产，达产后年产值可达{money}，带动就业{n}人。",
    "财联社{month}月{n}日电，{company}在互动平台表示，公司{sector}产品已通过客户认证，尚未形成规模收入。",
    "投资者提问：公司{sector}业务进展如何？{company}回应：相关项目按计划推进，请注意投资风险。",
)
_TERMS = (
    "企业 消费者 市场份额 销量 品牌 门店 供应链 商家 电商平台 用户规模 手机出货量 芯片短缺 交付量 董事长 总经理 首席执行官 创始人 高管 "
    "辞任 任命 破产重整 破产清算 债务人 债权人 股权冻结 被执行人 罚单 反垄断 经营者集中 牌照 备案 关税 进口 出口 外贸 跨境电商 自贸区 "
    "招商引资 专项债 基建投资 房价 楼市 集中供地 土地拍卖 调控政策 限购 按揭贷款 公积金 首付比例 二手房 开发商 房企 物业 现房销售 退房 "
    "猪肉价格 粮价 油价 电价 原材料涨价 库存 需求 供给 产能过剩 去杠杆 减税降费 纾困 补贴 消费券 免税店 促消费 就业 居民收入 政府工作报告 "
    "十四五规划 高质量发展 双循环 碳中和 绿色金融 普惠金融 小微企业 民营企业 国企改革 混改 比特币 区块链 数字货币 虚拟货币 以太坊 元宇宙 "
    "传销 非法集资 庞氏骗局 网贷 P2P平台 跑路 提现困难 爆雷 维权 立案侦查 受害人 天使轮 A轮 B轮 种子轮 Pre-A轮 领投 跟投 估值 独角兽 "
    "风险投资 创投 孵化 财务顾问 尽职调查 对赌协议 股权激励 员工持股 可转债 定增 配股 优先股 中期票据 资产支持证券 票据 承兑 授信 抵押 "
    "担保 征信 逾期 催收 信用卡 花呗 借呗 余额宝 支付宝 微信支付 理财产品 净值 定投 私募 公募 基金经理 重仓股 调仓 仓位 均线 K线 放量 "
    "缩量 抄底 割肉 套牢 主力 庄家 散户 游资 龙头股 概念股 题材 利好 利空 牛市 熊市 震荡 反弹 回调 突破 支撑位 压力位 开盘 收盘 盘中 "
    "盘前 盘后 竞价 复牌 停牌 退市 借壳 独立董事 监事 董事会 股东大会 决议 信息披露 问询函 关注函 警示函 内幕交易 操纵市场 财务造假 "
    "审计报告 商誉减值 应收账款 存货 负债 现金流量 净资产 每股净资产 毛利 费用率 汇兑损益 折旧 摊销 研发投入 市占率 渗透率 客单价 订单量 "
    "美元指数 欧元 英镑 日元 港元 离岸人民币 国债收益率 美联储加息 缩表 量化宽松 财政赤字 债务上限 非农就业 失业率 初请失业金 制造业PMI "
    "服务业PMI 消费者信心指数 零售销售 耐用品订单 原油库存 欧佩克 减产 布伦特原油 现货黄金 铁矿石 航运价格 集装箱 波罗的海干散货指数 "
    "春节档票房 旅游收入 客流量 酒店 餐饮 外卖 快递业务量 网约车 自动驾驶 新能源车 动力电池 充电桩 光伏组件 硅料 风电 储能 氢能 面板 存储 "
    "云服务 大数据 人工智能 机器人 工业互联网 软件 游戏版号 直播带货 短视频 广告收入 会员 流媒体 智能手机 可折叠 平板 电视 空调 家电 "
    "新冠疫苗 集采 医保谈判 创新药 临床试验 医疗器械 生物制药 CXO 养老 教育培训 双减 种子 化肥 农产品 棉花 大豆 玉米 生猪 奶粉 白酒 啤酒 "
    "饮料 服饰 鞋 奢侈品 化妆品 珠宝 家居 装修 建材 水泥 玻璃 钢材 煤炭 电力 燃气 水务 环保 铁路 公路 机场 航空 港口 物流 仓储"
).split()
_JOINTS = (
    "方面，", "以及", "、", "和", "，", "持续", "明显", "有所", "受", "影响，", "带动", "推动", "显示，", "表示，", "据了解，", "记者获悉，",
    "的", "是", "同时，", "其中，", "不过，", "此外，", "业内人士认为，", "预计", "正在", "进一步", "增长", "下降", "超过", "达到", "将", "。",
)  # fmt: skip
_HEADLINES = (
    "{company}{quarter}净利{move}{pct}",
    "{sector}板块大涨 {company}涨停",
    "{body}：{item}同比{move}{pct}",
    "{company}获{money}融资",
    "早报｜沪指{move}{pct} {sector}领涨",
    "{company}拟{money}投建{sector}项目",
    "",
    "",
    "",
)


class _Draw(dict[str, str]):
    """Values for the slots of a sentence, drawn when asked for."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.rng = rng

    def __getitem__(self, key: str) -> str:
        r = self.rng
        figure = r.choice(
            [f"{r.uniform(1, 99):.2f}", f"{r.uniform(1, 999):.1f}", f"{r.randint(1, 9000)}"]
        )
        drawn = {
            "company": r.choice(["", "", r.choice(_PLACE)])
            + "".join(r.sample(_NAME, 2))
            + r.choice(_TRADE)
            + r.choice(["", "", r.choice(_KIND)]),
            "place": r.choice(_PLACE),
            "sector": r.choice(_SECTOR),
            "body": r.choice(_BODY),
            "good": r.choice(_GOOD),
            "item": r.choice(_ITEM),
            "money": figure + r.choice(["亿元", "亿元", "万元", "亿美元", "万亿元", "亿港元"]),
            "pct": f"{r.uniform(0, 90):.{r.randint(0, 2)}f}%",
            "move": r.choice("增长 下降 上涨 下跌 上升 回落 涨 跌 减少 增加 下滑 扩大".split()),
            "half": r.choice("收 开 午 早 尾".split()),
            "year": str(r.randint(2012, 2025)),
            "month": str(r.randint(1, 12)),
            "quarter": r.choice("一季度 二季度 三季度 四季度 上半年 前三季度 全年".split()),
            "n": str(r.choice([r.randint(2, 30), r.randint(30, 900)])),
        }
        return drawn[key]


def texts(n: int, seed: int = 0) -> list[str]:
    """`n` texts of one to eight sentences."""
    rng = random.Random(seed)
    draw = _Draw(rng)
    made = []
    for i in range(n):
        if i % 3 == 0:  # terms in no order: their own n-grams are what counts
            words = [rng.choice(_TERMS) + rng.choice(_JOINTS) for _ in range(rng.randint(8, 80))]
            made.append("".join(words))
            continue
        body = "".join(
            rng.choice(_SENTENCES).format_map(draw) for _ in range(rng.choice([1, 2, 3, 4, 8]))
        )
        head = rng.choice(_HEADLINES).format_map(draw)
        made.append(f"{head}\n{body}" if head else body)
    return made
