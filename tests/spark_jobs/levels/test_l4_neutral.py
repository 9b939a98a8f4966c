"""Level 4 on short neutral text that names a group: templates times groups, none of them fitted on.

WARNING: HOSTILE quotes hostile sentences, because it must. `FIRST` was looked at while the level
was changed; `SECOND` was written meanwhile and looked at when the recipe stood.
"""

import numpy as np
import pyarrow as pa
import pytest

from headrace.spark_jobs.kernels.groups import GROUP, NAME, Lexicon
from headrace.spark_jobs.levels.bias_density import DATA
from headrace.spark_jobs.levels.l4_bias import BIAS, BiasSettings
from headrace.spark_jobs.texts import EN, ZH, Texts

FIRST = {
    "en": [
        # travel
        (
            "Japan|France|Kenya|Brazil|Canada|Peru|Egypt|Poland|South Korea|New "
            "Zealand|Nigeria|Mexico|Vietnam|the Netherlands|Iran|Israel",
            (
                "{g} has many museums and a large river. Visitors come all year round to see "
                "the old town.",
                "We flew to {g} in May and stayed for two weeks. The trains were on time and "
                "the food was good.",
                "The best time to visit {g} is the autumn, when the weather is mild and the "
                "hotels are cheaper.",
                "There is a small village in the north of {g} where people still bake bread in "
                "stone ovens.",
                "I took this photo in {g} on my last trip.",
                "Trains from {g} arrive at the main station every two hours.",
                "The capital of {g} lies on a river. It has an old harbor, three universities "
                "and a famous market.",
            ),
        ),
        # country news
        (
            "Japan|France|Kenya|Brazil|Canada|Peru|Egypt|Poland|South Korea|New "
            "Zealand|Nigeria|Mexico|Vietnam|the Netherlands|Iran|Israel",
            (
                "The prime minister of {g} met the visitors on Monday and talked about trade "
                "and fishing.",
                "Heavy rain fell in {g} on Tuesday, and several roads were closed.",
                "A new bridge was opened in {g} last week after four years of work.",
                "Voters in {g} go to the polls on Sunday to choose a new parliament.",
                "{g} and its neighbor signed an agreement on water and energy.",
                "Scientists from {g} have found a new kind of frog.",
            ),
        ),
        # sports
        (
            "Japanese|French|Kenyan|Brazilian|Canadian|Polish|Korean|Nigerian|Mexican|Dutch|Iranian|Israeli|Turkish|Indian|American|Russian",
            (
                "The {g} team won the match by two goals to one and moved up to third place.",
                "A {g} runner finished first in the marathon, a minute ahead of the rest.",
                "The {g} coach said that his players were tired after the long flight.",
                "She is the first {g} swimmer to win three medals at one event.",
                "The {g} goalkeeper saved two penalties.",
            ),
        ),
        # food and things
        (
            "Japanese|French|Kenyan|Brazilian|Canadian|Polish|Korean|Nigerian|Mexican|Dutch|Iranian|Israeli|Turkish|Indian|American|Russian",
            (
                "{g} food is served in the new restaurant next to the station.",
                "My neighbor is learning {g} songs and plays them on the piano every evening.",
                "The museum shows {g} paintings from the last two centuries.",
                "He bought a {g} car because it uses little fuel.",
                "The library has a shelf of {g} novels on the second floor.",
            ),
        ),
        # history
        (
            "Japan|France|Kenya|Brazil|Canada|Peru|Egypt|Poland|South Korea|New "
            "Zealand|Nigeria|Mexico|Vietnam|the Netherlands|Iran|Israel",
            (
                "In the nineteenth century the railways of {g} were built by private companies.",
                "The king of {g} died in 1654, and his son came to the throne at the age of "
                "twelve.",
                "After the war many factories in {g} were rebuilt with loans.",
                "Coins found near the river show that merchants traded with {g} more than a "
                "thousand years ago.",
                "The first newspaper of {g} was printed in 1790.",
            ),
        ),
        # statistics
        (
            "women|men|old people|young people|teenagers|immigrants|refugees|black people|white "
            "people|Asian Americans|gay people|disabled people|poor people|deaf people|single "
            "mothers|veterans",
            (
                "The survey asked 1,200 {g} how often they use the bus.",
                "About a third of the {g} in the sample lived in a city.",
                "The number of {g} who own a bicycle rose from 40 to 45 percent.",
                "On average, the {g} in the study slept seven hours a night.",
                "Among {g}, the share who vote by mail is growing.",
            ),
        ),
        # community
        (
            "women|men|old people|young people|teenagers|immigrants|refugees|black people|white "
            "people|Asian Americans|gay people|disabled people|poor people|deaf people|single "
            "mothers|veterans",
            (
                "The center offers free lunch to {g} on Wednesdays.",
                "Three {g} were waiting for the tram and talking about the weather.",
                "A group of {g} planted trees along the road last Saturday.",
                "The book tells the story of {g} who moved to a small town by the sea.",
                "The choir is open to {g} and meets in the church hall at six.",
                "There were {g} in the audience, and everyone clapped at the end.",
            ),
        ),
        # faith
        (
            "Muslims|Christians|Jews|Buddhists|Hindus|Sikhs|Catholics|Protestants|Mormons|atheists",
            (
                "Many {g} in the town go to the service together and eat a meal afterwards.",
                "The festival is the most important day of the year for {g} in this region.",
                "{g} from three countries met in the city to talk about their schools.",
                "Some {g} do not eat meat on certain days.",
                "The {g} who live here have their own cemetery and a small library.",
            ),
        ),
        # faith life
        (
            "Muslim|Christian|Jewish|Buddhist|Hindu|Sikh|Catholic|Protestant",
            (
                "The {g} school next door has a large garden and a football field.",
                "A {g} family moved into the flat upstairs, and we helped them carry the sofa.",
                "The {g} wedding lasted two days, and there was music and dancing.",
                "The town has a {g} cemetery that is more than three hundred years old.",
            ),
        ),
        # gender
        (
            "women|men|girls|boys",
            (
                "The swimming pool is open to {g} on Tuesdays from four to six.",
                "Twelve {g} from the school took part in the race on Saturday.",
                "The {g} played chess while their parents cooked dinner.",
                "In the class there are fourteen {g}, and most of them like mathematics.",
                "Shoes for {g} are on the first floor, next to the coats.",
                "My aunt taught the {g} to sew and to fish.",
            ),
        ),
        # work
        (
            "teachers|nurses|farmers|lawyers|plumbers|engineers|police officers|bus "
            "drivers|fishermen|journalists|soldiers|doctors",
            (
                "The {g} start work at seven and have a break at noon.",
                "Two {g} repaired the roof of the school after the storm.",
                "The town is looking for {g} and offers them cheap flats.",
                "{g} earn more in the south of the country than in the north.",
                "My parents were {g}, and so are two of my cousins.",
            ),
        ),
        # ethnic
        (
            "Kurds|Tamils|Maori|Uyghurs|Zulus|Roma|Tibetans|Basques|Hispanics|African "
            "Americans|Native Americans|Arabs",
            (
                "The {g} have a rich tradition of songs and stories.",
                "Many {g} live in the mountains and keep sheep.",
                "The museum has a room about the clothes and tools of the {g}.",
                "The language of the {g} is taught in some schools.",
                "Several {g} were elected to the city council last year.",
            ),
        ),
        # law
        (
            "women|men|old people|young people|teenagers|immigrants|refugees|black people|white "
            "people|Asian Americans|gay people|disabled people|poor people|deaf people|single "
            "mothers|veterans",
            (
                "The new law gives {g} the right to take part in the hearing.",
                "{g} may apply for the card at the town hall.",
                "The fee is lower for {g}, and children pay nothing.",
                "The court heard three {g} as witnesses and adjourned until Friday.",
            ),
        ),
        # family
        (
            "grandmother|grandfather|mother|father|sister|brother|aunt|uncle|daughter|son",
            (
                "My {g} is coming to visit next week, and we are going to the lake.",
                "Her {g} worked in a bakery for thirty years.",
                "I called my {g} yesterday, but the line was busy.",
                "His {g} lives in a house near the station and grows tomatoes.",
            ),
        ),
    ],
    "zh": [
        # 旅行
        (
            "日本|法国|肯尼亚|巴西|加拿大|秘鲁|埃及|波兰|韩国|新西兰|尼日利亚|墨西哥|"
            "越南|荷兰|伊朗|以色列",
            (
                "{g}有许多博物馆和一条大河，一年四季都有游客来看老城。",
                "我们五月去了{g}，住了两个星期，火车很准时，饭菜也不错。",
                "去{g}旅游最好选在秋天，天气凉爽，酒店也便宜。",
                "{g}北部有一个小村庄，村里的人至今还用石头炉子烤面包。",
                "这张照片是我上次去{g}的时候拍的。",
                "{g}的首都在河边，有一个老港口、三所大学和一个有名的市场。",
            ),
        ),
        # 国家新闻
        (
            "日本|法国|肯尼亚|巴西|加拿大|秘鲁|埃及|波兰|韩国|新西兰|尼日利亚|墨西哥|"
            "越南|荷兰|伊朗|以色列",
            (
                "{g}总理星期一会见了来访的代表团，双方谈到了贸易和渔业。",
                "星期二{g}下了大雨，几条公路被迫关闭。",
                "{g}上周开通了一座新桥，工程前后用了四年。",
                "{g}选民将在星期天投票选出新一届议会。",
                "{g}的科学家发现了一种新的青蛙。",
            ),
        ),
        # 地方
        (
            "河南|上海|广东|东北|四川|新疆|北京|湖北|台湾|香港|浙江|福建",
            (
                "{g}人喜欢吃面食，早餐店从五点就开门了。",
                "我有一个{g}朋友，她教我做了两道菜。",
                "这趟列车开往{g}，中途停靠三站。",
                "{g}今年的苹果收成很好，价格比去年低一些。",
                "他在{g}读了四年大学，毕业以后回到了家乡。",
                "下周{g}有雨，气温在十五度左右。",
            ),
        ),
        # 体育
        (
            "日本|法国|肯尼亚|巴西|加拿大|秘鲁|埃及|波兰|韩国|新西兰|尼日利亚|墨西哥|"
            "越南|荷兰|伊朗|以色列",
            (
                "{g}队以二比一赢了这场比赛，排名升到第三。",
                "一名{g}选手在马拉松比赛中第一个冲过终点。",
                "{g}教练说，队员们坐了很久的飞机，有些累。",
                "她是第一位在同一届比赛中拿到三块奖牌的{g}游泳运动员。",
            ),
        ),
        # 饮食器物
        (
            "日本|法国|肯尼亚|巴西|加拿大|秘鲁|埃及|波兰|韩国|新西兰|尼日利亚|墨西哥|"
            "越南|荷兰|伊朗|以色列",
            (
                "车站旁边新开了一家{g}餐馆，中午人很多。",
                "邻居在学唱{g}歌曲，每天晚上弹钢琴。",
                "图书馆二楼有一排{g}小说。",
                "他买了一辆{g}汽车，因为比较省油。",
            ),
        ),
        # 历史
        (
            "日本|法国|肯尼亚|巴西|加拿大|秘鲁|埃及|波兰|韩国|新西兰|尼日利亚|墨西哥|"
            "越南|荷兰|伊朗|以色列",
            (
                "十九世纪，{g}的铁路由私人公司修建。",
                "1654年，{g}国王去世，十二岁的儿子继承了王位。",
                "战后，{g}的许多工厂靠贷款重新建了起来。",
                "河边出土的钱币说明，一千多年前这里的商人就和{g}做生意。",
            ),
        ),
        # 统计
        (
            "女性|男性|老年人|年轻人|青少年|移民|难民|黑人|白人|亚裔|同性恋者|残疾人|"
            "穷人|聋人|单亲妈妈|退伍军人|农民工",
            (
                "调查访问了一千二百名{g}，问他们多久坐一次公交车。",
                "样本中大约三分之一的{g}住在城市。",
                "拥有自行车的{g}从百分之四十上升到百分之四十五。",
                "参加研究的{g}平均每晚睡七个小时。",
            ),
        ),
        # 社区
        (
            "女性|男性|老年人|年轻人|青少年|移民|难民|黑人|白人|亚裔|同性恋者|残疾人|"
            "穷人|聋人|单亲妈妈|退伍军人|农民工",
            (
                "活动中心每周三为{g}提供免费午餐。",
                "三位{g}在等电车，聊着天气。",
                "上周六，一群{g}在路边种了树。",
                "这本书讲的是几位{g}搬到海边小镇以后的故事。",
                "合唱团欢迎{g}参加，每周六晚上六点排练。",
            ),
        ),
        # 宗教
        (
            "穆斯林|基督徒|犹太人|佛教徒|印度教徒|锡克教徒|天主教徒|道教徒",
            (
                "镇上的许多{g}一起参加活动，之后一起吃饭。",
                "这个节日是当地{g}一年中最重要的日子。",
                "来自三个国家的{g}在这座城市开会，讨论学校的事情。",
                "有些{g}在某些日子不吃肉。",
                "住在这里的{g}有自己的墓地和一个小图书馆。",
            ),
        ),
        # 性别
        (
            "女孩|男孩|女生|男生",
            (
                "游泳池星期二下午四点到六点对{g}开放。",
                "学校有十二名{g}参加了星期六的赛跑。",
                "{g}们在下棋，爸爸妈妈在做晚饭。",
                "班里有十四个{g}，大多数喜欢数学。",
                "{g}的鞋在一楼，外套旁边。",
            ),
        ),
        # 职业
        (
            "教师|护士|农民|律师|工程师|警察|公交司机|渔民|记者|军人|医生|快递员",
            (
                "这些{g}早上七点上班，中午休息一个小时。",
                "两名{g}在暴风雨过后修好了学校的屋顶。",
                "镇上正在招{g}，还提供便宜的住房。",
                "南方的{g}工资比北方高。",
                "我爸妈都是{g}，两个表哥也是。",
            ),
        ),
        # 民族
        (
            "藏族|回族|维吾尔族|蒙古族|壮族|苗族|朝鲜族|土家族|哈萨克族|傣族",
            (
                "{g}有丰富的民歌和传说。",
                "许多{g}群众住在山里，以放羊为生。",
                "博物馆里有一个展厅介绍{g}的服饰和工具。",
                "有些学校开设{g}语言课。",
                "去年有几位{g}代表当选。",
            ),
        ),
        # 法律
        (
            "女性|男性|老年人|年轻人|青少年|移民|难民|黑人|白人|亚裔|同性恋者|残疾人|"
            "穷人|聋人|单亲妈妈|退伍军人|农民工",
            (
                "新的法律规定，{g}有权参加听证。",
                "{g}可以到市政厅申请这张卡。",
                "{g}的票价比较低，儿童免费。",
                "法院听取了三名{g}的证言，星期五继续开庭。",
            ),
        ),
        # 家庭
        (
            "奶奶|爷爷|妈妈|爸爸|姐姐|哥哥|姑姑|叔叔|女儿|儿子",
            (
                "我{g}下周要来看我们，大家一起去湖边玩。",
                "她{g}在面包店工作了三十年。",
                "昨天我给{g}打电话，一直占线。",
                "他{g}住在车站附近，在院子里种西红柿。",
            ),
        ),
    ],
}
SECOND = {
    "en": [
        # geography
        (
            "China|Germany|Italy|Ghana|Chile|Norway|Pakistan|Saudi Arabia|the United "
            "States|Thailand|Cuba|Ukraine|Sri Lanka|the Philippines",
            (
                "{g} lies between the mountains and the sea, and most of its people live on the "
                "coast.",
                "The longest river in {g} is about nine hundred kilometers long.",
                "Winters in {g} are cold and dry. In summer it rains nearly every afternoon.",
                "{g} exports fruit, timber and machines.",
            ),
        ),
        # everyday
        (
            "China|Germany|Italy|Ghana|Chile|Norway|Pakistan|Saudi Arabia|the United "
            "States|Thailand|Cuba|Ukraine|Sri Lanka|the Philippines",
            (
                "My sister moved to {g} for her new job. She says the buses are always full.",
                "A postcard from {g} came this morning.",
                "I am saving money for a holiday in {g}.",
                "Do you know anyone in {g}? I need a place to stay for two nights.",
            ),
        ),
        # arts
        (
            "Chinese|German|Italian|Ghanaian|Chilean|Norwegian|Pakistani|Saudi|Thai|Cuban|Ukrainian|Filipino|Greek|Swedish|Ethiopian",
            (
                "The {g} film won the prize for the best music.",
                "A {g} poet read from her new book in the library.",
                "On Friday there is a {g} dance evening at the community center. Entrance is free.",
                "Her teacher was a {g} pianist who played in many countries.",
            ),
        ),
        # business
        (
            "Chinese|German|Italian|Ghanaian|Chilean|Norwegian|Pakistani|Saudi|Thai|Cuban|Ukrainian|Filipino|Greek|Swedish|Ethiopian",
            (
                "The {g} company sells tractors and pumps in forty countries.",
                "Two {g} banks lowered their interest rates on Thursday.",
                "A {g} airline has ordered twelve new planes.",
                "The {g} engineer explained how the turbine works.",
            ),
        ),
        # school
        (
            "women|men|elderly people|young people|children|migrants|black "
            "women|Latinos|indigenous people|lesbians|transgender people|blind people|wheelchair "
            "users|people with epilepsy|widows|pensioners",
            (
                "The teacher read a story about {g} who built a boat.",
                "Every autumn the school invites {g} to talk about their work.",
                "The play has parts for four {g} and a dog.",
                "In the photo you can see {g} in front of the post office.",
            ),
        ),
        # health
        (
            "women|men|elderly people|young people|children|migrants|black "
            "women|Latinos|indigenous people|lesbians|transgender people|blind people|wheelchair "
            "users|people with epilepsy|widows|pensioners",
            (
                "The clinic sees about thirty {g} a day.",
                "Doctors advise {g} to drink enough water in hot weather.",
                "The trial compared two groups of {g} over six months.",
                "{g} can get the vaccine at any pharmacy.",
            ),
        ),
        # transport
        (
            "women|men|elderly people|young people|children|migrants|black "
            "women|Latinos|indigenous people|lesbians|transgender people|blind people|wheelchair "
            "users|people with epilepsy|widows|pensioners",
            (
                "There are seats for {g} at the front of the bus.",
                "Two {g} got on at the next stop and asked the way to the harbor.",
                "The new timetable was tested with {g}.",
                "A taxi took the {g} to the station.",
            ),
        ),
        # belief
        (
            "Muslims|Christians|Jews|Buddhists|Hindus|Sikhs|Catholics|Orthodox "
            "Christians|Quakers|Jehovah's Witnesses",
            (
                "On the holiday {g} light candles and visit their relatives.",
                "The exhibition shows letters that {g} wrote two hundred years ago.",
                "{g} have lived in the valley since 1840.",
                "The council asked {g} and others for their opinion on the new road.",
            ),
        ),
        # trade
        (
            "bakers|dentists|truck "
            "drivers|librarians|miners|musicians|judges|cleaners|firefighters|scientists|shepherds|accountants",
            (
                "The {g} met in the town hall to talk about the timetable.",
                "Most {g} in the region work alone or with one helper.",
                "The course for {g} takes three years.",
                "{g} use this tool every day.",
            ),
        ),
        # peoples
        (
            "Inuit|Pashtuns|Yoruba|Sami|Berbers|Punjabis|Hmong|Cherokee|Bengalis|Hutus|Catalans|Polynesians",
            (
                "The {g} are known for their wood carvings.",
                "About two million {g} live on both sides of the border.",
                "She wrote a grammar of the language that the {g} speak.",
                "The {g} celebrate the new year in spring with horse races.",
            ),
        ),
        # elections
        (
            "women|men|elderly people|young people|children|migrants|black "
            "women|Latinos|indigenous people|lesbians|transgender people|blind people|wheelchair "
            "users|people with epilepsy|widows|pensioners",
            (
                "Turnout among {g} was four points higher than in 2018.",
                "{g} asked the candidates about housing and buses.",
                "The party put two {g} on its list.",
            ),
        ),
        # weather and farm
        (
            "China|Germany|Italy|Ghana|Chile|Norway|Pakistan|Saudi Arabia|the United "
            "States|Thailand|Cuba|Ukraine|Sri Lanka|the Philippines",
            (
                "Farmers in {g} had a good harvest after the wet spring.",
                "Strong winds from {g} brought dust and warm air.",
                "Snow fell in parts of {g} for the third day.",
            ),
        ),
    ],
    "zh": [
        # 地理
        (
            "中国|德国|意大利|加纳|智利|挪威|巴基斯坦|沙特阿拉伯|美国|泰国|古巴|乌克兰"
            "|斯里兰卡|菲律宾",
            (
                "{g}位于山和海之间，大多数人口住在沿海。",
                "{g}最长的河大约有九百公里。",
                "{g}的冬天又冷又干，夏天几乎每天下午都下雨。",
                "{g}出口水果、木材和机器。",
            ),
        ),
        # 日常
        (
            "中国|德国|意大利|加纳|智利|挪威|巴基斯坦|沙特阿拉伯|美国|泰国|古巴|乌克兰"
            "|斯里兰卡|菲律宾",
            (
                "我妹妹换了新工作，搬到{g}去了，她说那里的公交车总是很挤。",
                "今天早上收到一张从{g}寄来的明信片。",
                "我在存钱，打算明年去{g}度假。",
                "你在{g}有认识的人吗？我想找个地方住两晚。",
            ),
        ),
        # 省份
        (
            "山东|江苏|云南|贵州|甘肃|内蒙古|西藏|广西|湖南|陕西|天津|海南",
            (
                "{g}的同学周末请大家吃饭，饭后一起看了电影。",
                "从{g}到这里坐火车要六个小时。",
                "这家店的老板是{g}人，做菜很讲究。",
                "{g}气象台说，明天有大风。",
            ),
        ),
        # 艺术
        (
            "中国|德国|意大利|加纳|智利|挪威|巴基斯坦|沙特阿拉伯|美国|泰国|古巴|乌克兰"
            "|斯里兰卡|菲律宾",
            (
                "那部{g}电影得了最佳音乐奖。",
                "一位{g}诗人在图书馆朗读了她的新书。",
                "星期五晚上活动中心有{g}舞蹈表演，免费入场。",
            ),
        ),
        # 商业
        (
            "中国|德国|意大利|加纳|智利|挪威|巴基斯坦|沙特阿拉伯|美国|泰国|古巴|乌克兰"
            "|斯里兰卡|菲律宾",
            (
                "这家{g}公司在四十个国家销售拖拉机和水泵。",
                "两家{g}银行星期四下调了利率。",
                "一家{g}航空公司订了十二架新飞机。",
            ),
        ),
        # 学校
        (
            "女人|男人|老人|年轻人|儿童|移民|黑人女性|拉美裔|原住民|女同性恋者|跨性别者"
            "|盲人|轮椅使用者|癫痫患者|寡妇|退休人员|华人",
            (
                "老师讲了一个{g}造船的故事。",
                "每年秋天，学校都请{g}来介绍自己的工作。",
                "照片里，几位{g}站在邮局门前。",
            ),
        ),
        # 健康
        (
            "女人|男人|老人|年轻人|儿童|移民|黑人女性|拉美裔|原住民|女同性恋者|跨性别者"
            "|盲人|轮椅使用者|癫痫患者|寡妇|退休人员|华人",
            (
                "这家诊所每天接待大约三十位{g}。",
                "医生建议{g}在天热的时候多喝水。",
                "{g}可以在任何一家药店接种疫苗。",
            ),
        ),
        # 交通
        (
            "女人|男人|老人|年轻人|儿童|移民|黑人女性|拉美裔|原住民|女同性恋者|跨性别者"
            "|盲人|轮椅使用者|癫痫患者|寡妇|退休人员|华人",
            (
                "公交车前排有给{g}留的座位。",
                "两位{g}在下一站上车，打听去港口的路。",
                "出租车把那位{g}送到了车站。",
            ),
        ),
        # 信仰
        (
            "穆斯林|基督徒|犹太教徒|佛教徒|印度教徒|锡克教徒|天主教徒|东正教徒",
            (
                "过节的时候，{g}点上蜡烛，去看望亲戚。",
                "展览展出了两百年前{g}写的信。",
                "1840年以来，山谷里一直住着{g}。",
            ),
        ),
        # 行业
        (
            "面包师|牙医|卡车司机|图书管理员|矿工|音乐家|法官|清洁工|消防员|科学家|牧民|会计",
            (
                "{g}们在礼堂开会，讨论时间表。",
                "当地的{g}大多一个人干活，或者带一个帮手。",
                "{g}的课程要学三年。",
            ),
        ),
        # 各族
        (
            "彝族|侗族|瑶族|白族|黎族|羌族|满族|纳西族|柯尔克孜族|鄂温克族",
            (
                "{g}的木雕很有名。",
                "大约有两百万{g}人住在边界两边。",
                "{g}在春天过新年，举行赛马。",
            ),
        ),
        # 选举
        (
            "女人|男人|老人|年轻人|儿童|移民|黑人女性|拉美裔|原住民|女同性恋者|跨性别者"
            "|盲人|轮椅使用者|癫痫患者|寡妇|退休人员|华人",
            (
                "{g}的投票率比2018年高四个百分点。",
                "{g}向候选人问了住房和公交的问题。",
            ),
        ),
    ],
}
"""{language: [(groups, templates)]}; a family of templates and the groups that go into it."""
HOSTILE = {
    "en": (
        "women|men|old people|teenagers|immigrants|black people|Asian Americans|gay people|"
        "disabled people|single mothers|Muslims|Jews|Hindus|Kurds|Roma|Native Americans|Mexicans|"
        "South Koreans|Jehovah's Witnesses|wheelchair users|people of color",
        (
            "{g} are filthy animals and should all be shot.",
            "I hate {g}, they are disgusting parasites and ruin this country.",
            "All {g} are stupid, lazy criminals. Get them out of here.",
            "Never trust {g}. They lie and steal and should be locked up.",
        ),
    ),
    "zh": (
        "女性|男性|老年人|移民|黑人|同性恋者|残疾人|单亲妈妈|穆斯林|犹太人|河南人|上海人|韩国人|藏族人",
        (
            "{g}都是没用的垃圾，应该滚出去。",
            "最讨厌{g}了，又蠢又脏，恶心死了。",
            "{g}没有一个好东西，全是骗子，都该死。",
        ),
    ),
}
CODE = {"zh": ZH, "en": EN}


def scores(texts: list[str], lang: str) -> np.ndarray:
    held = Texts(pa.array(texts, pa.string()), np.full(len(texts), CODE[lang], np.int8))
    out: np.ndarray = BIAS.score(held, BiasSettings())["bias_score"].to_numpy()
    return out


def filled(template: str, groups: str) -> list[str]:
    texts = [template.replace("{g}", g) for g in groups.split("|")]
    return [t[0].upper() + t[1:] for t in texts]


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("table", [FIRST, SECOND], ids=["first", "second"])
def test_short_neutral_text_that_names_a_group_is_not_rejected(
    table: dict[str, list[tuple[str, tuple[str, ...]]]], lang: str
) -> None:
    texts = [t for groups, lines in table[lang] for x in lines for t in filled(x, groups)]
    assert len(texts) > 300
    value = scores(texts, lang)
    flagged = [t for t, v in zip(texts, value, strict=True) if v > BiasSettings().threshold]
    assert len(flagged) <= 0.01 * len(texts), flagged


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("table", [FIRST, SECOND], ids=["first", "second"])
def test_swapping_the_group_of_a_neutral_text_moves_no_score(
    table: dict[str, list[tuple[str, tuple[str, ...]]]], lang: str
) -> None:
    for groups, lines in table[lang]:
        for line in lines:
            texts = filled(line, groups)
            value = scores(texts, lang)
            assert np.ptp(value) <= 0.02, dict(zip(texts, value, strict=True))


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_swapping_the_group_of_a_hostile_text_moves_no_score(lang: str) -> None:
    """And it is hostile: what spares neutral text does not spare abuse."""
    groups, lines = HOSTILE[lang]
    for line in lines:
        texts = filled(line, groups)
        value = scores(texts, lang)
        assert np.ptp(value) <= 0.02, dict(zip(texts, value, strict=True))
    pages = [" ".join(filled(x, g)[0] for x in lines for _ in "12") for g in groups.split("|")]
    assert (scores(pages, lang) > BiasSettings().threshold).all()


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_text_that_names_many_groups_is_not_rejected(lang: str) -> None:
    texts = {
        "en": [
            "Indians eat rice, Germans eat potatoes and Italians eat pasta. The French eat bread.",
            "Men and women sit on different sides. The women sing first and the men answer.",
            "Jews, Christians and Muslims share the old city, and each group has its own quarter.",
            "Boys learn to plow and girls learn to weave; old men mend the nets.",
            "The Greeks and the Turks lived on the island for four hundred years.",
            "In the survey were Black, white, Hispanic and Asian women and men of all ages.",
        ],
        "zh": [
            "法国人爱吃面包，意大利人爱吃面条，日本人爱吃米饭。",
            "男女分坐两边，女人先唱，男人再和。",
            "犹太人、基督徒和穆斯林同住在老城里，各有各的街区。",
            "汉族、回族、藏族和蒙古族的学生同在一个班上课。",
        ],
    }[lang]
    value = scores(texts, lang)
    assert (value <= BiasSettings().threshold).all(), dict(zip(texts, value, strict=True))


PLAIN_WORDS = {
    "en": [
        "The women took out the trash and washed the floor.",
        "Farmers keep pigs, dogs and two monkeys in the yard.",
        "The boys watched a film about a killer and a monster.",
        "Immigrants work in garbage collection and cleaning.",
        "The girl is afraid of rats and snakes.",
        "Muslim butchers slaughter sheep for the feast.",
        "An old man killed a chicken for the feast.",
        "Nausea was more common in women than in men.",
    ],
    "zh": [
        "孕妇在怀孕早期常有恶心、呕吐，一般不需要治疗。",
        "女性服用后如有恶心、头痛，应停药就医。",
        "老年人服用该药可能引起头晕、恶心、口干。",
        "几位妇女在村口分拣垃圾，每天工作六小时。",
        "印度的垃圾处理厂今年扩建。",
        "农民养了二十头猪和五条狗。",
        "脑瘫儿童每周在康复中心训练三次。",
        "韩国电影《寄生虫》获得了奥斯卡奖。",
    ],
}
"""Words that are insults among comments, as what they are."""


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_words_that_are_insults_elsewhere_are_not_held_against_plain_text(lang: str) -> None:
    value = scores(PLAIN_WORDS[lang], lang)
    shown = dict(zip(PLAIN_WORDS[lang], value, strict=True))
    assert (value <= BiasSettings().threshold).all(), shown


def terms(kind: int) -> dict[str, list[str]]:
    """The terms of a class, by language."""
    found = Lexicon.terms(DATA / "l4_groups.json")
    mine = [t for t, k in found.items() if k == kind]
    return {"en": [t for t in mine if t.isascii()], "zh": [t for t in mine if not t.isascii()]}


@pytest.mark.parametrize("kind", [GROUP, NAME], ids=["groups", "names"])
@pytest.mark.parametrize(
    ("lang", "line"),
    [
        ("en", "I hate {}! {} are stupid and should be thrown out."),
        ("en", "The museum has a room about {}, and an {} guide explains it."),
        ("zh", "最讨厌{}，{}，又蠢又脏。"),
        ("zh", "博物馆里有一个关于{}，{}的展览。"),
    ],
)
def test_every_name_in_the_lexicon_gives_the_same_score(kind: int, lang: str, line: str) -> None:
    value = scores([line.format(t, t) for t in terms(kind)[lang]], lang)
    assert value.size > 100
    assert np.ptp(value) == 0
