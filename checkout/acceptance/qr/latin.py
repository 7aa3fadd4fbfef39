"""Latin forms of names in other scripts, for data objects that hold printable ASCII alone.

Accents are left out. A Chinese character of everyday use becomes its pinyin syllable without the
tone: GB 2312 sorts its 3,755 first-level characters by pinyin, so the first character of each
syllable is all that has to be known. A character with several readings gets the one it is sorted
under. Characters that are not covered are left out.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from functools import cache

# The first character of each syllable in the order of GB 2312; u also stands for its umlaut.
_SYLLABLES = """
啊a 埃ai 鞍an 肮ang 凹ao 芭ba 白bai 斑ban 邦bang 苞bao 杯bei 奔ben 崩beng 逼bi 鞭bian 标biao 鳖bie
彬bin 兵bing 玻bo 捕bu 擦ca 猜cai 餐can 苍cang 操cao 厕ce 层ceng 插cha 拆chai 搀chan 昌chang
超chao 车che 郴chen 撑cheng 吃chi 充chong 抽chou 初chu 揣chuai 川chuan 疮chuang 吹chui 春chun
戳chuo 疵ci 聪cong 凑cou 粗cu 蹿cuan 摧cui 村cun 磋cuo 搭da 呆dai 耽dan 当dang 刀dao 德de 蹬deng
堤di 颠dian 碉diao 跌die 丁ding 丢diu 东dong 兜dou 都du 端duan 堆dui 吨dun 掇duo 蛾e 恩en 而er
发fa 藩fan 坊fang 菲fei 芬fen 丰feng 佛fo 否fou 夫fu 噶ga 该gai 甘gan 冈gang 篙gao 哥ge 给gei
根gen 耕geng 工gong 钩gou 辜gu 刮gua 乖guai 棺guan 光guang 瑰gui 辊gun 锅guo 哈ha 骸hai 酣han
夯hang 壕hao 呵he 嘿hei 痕hen 哼heng 轰hong 喉hou 呼hu 花hua 槐huai 欢huan 荒huang 灰hui 荤hun
豁huo 击ji 嘉jia 歼jian 僵jiang 蕉jiao 揭jie 巾jin 荆jing 炯jiong 揪jiu 鞠ju 捐juan 撅jue 均jun
喀ka 开kai 刊kan 康kang 考kao 坷ke 肯ken 坑keng 空kong 抠kou 枯ku 夸kua 块kuai 宽kuan 匡kuang
亏kui 坤kun 括kuo 垃la 莱lai 蓝lan 琅lang 捞lao 勒le 雷lei 棱leng 厘li 俩lia 联lian 凉liang
撩liao 列lie 琳lin 拎ling 溜liu 龙long 楼lou 芦lu 驴lu 峦luan 掠lue 抡lun 萝luo 妈ma 埋mai 瞒man
芒mang 猫mao 么me 玫mei 门men 萌meng 眯mi 棉mian 苗miao 蔑mie 民min 明ming 谬miu 摸mo 谋mou 拇mu
拿na 氖nai 南nan 囊nang 挠nao 呢ne 馁nei 嫩nen 能neng 妮ni 蔫nian 娘niang 鸟niao 捏nie 您nin
柠ning 牛niu 脓nong 奴nu 女nu 暖nuan 虐nue 挪nuo 哦o 欧ou 啪pa 拍pai 攀pan 乓pang 抛pao 呸pei
喷pen 砰peng 坯pi 篇pian 飘piao 撇pie 拼pin 乒ping 坡po 剖pou 扑pu 期qi 掐qia 牵qian 呛qiang
橇qiao 切qie 钦qin 青qing 琼qiong 秋qiu 趋qu 圈quan 缺que 裙qun 然ran 瓤rang 饶rao 惹re 壬ren
扔reng 日ri 戎rong 揉rou 茹ru 软ruan 蕊rui 闰run 若ruo 撒sa 腮sai 三san 桑sang 搔sao 瑟se 森sen
僧seng 莎sha 筛shai 珊shan 墒shang 梢shao 奢she 砷shen 声sheng 师shi 收shou 蔬shu 刷shua 摔shuai
栓shuan 霜shuang 谁shui 吮shun 说shuo 斯si 松song 搜sou 苏su 酸suan 虽sui 孙sun 蓑suo 塌ta 胎tai
坍tan 汤tang 掏tao 特te 藤teng 梯ti 天tian 挑tiao 贴tie 厅ting 通tong 偷tou 凸tu 湍tuan 推tui
吞tun 拖tuo 挖wa 歪wai 豌wan 汪wang 威wei 瘟wen 嗡weng 挝wo 巫wu 昔xi 瞎xia 掀xian 相xiang
萧xiao 楔xie 薪xin 星xing 兄xiong 休xiu 墟xu 轩xuan 靴xue 勋xun 压ya 焉yan 央yang 邀yao 椰ye 一yi
茵yin 英ying 哟yo 拥yong 幽you 迂yu 鸳yuan 曰yue 耘yun 匝za 栽zai 咱zan 赃zang 遭zao 责ze 贼zei
怎zen 增zeng 扎zha 摘zhai 瞻zhan 樟zhang 招zhao 遮zhe 珍zhen 蒸zheng 芝zhi 中zhong 舟zhou 珠zhu
抓zhua 拽zhuai 专zhuan 桩zhuang 椎zhui 谆zhun 捉zhuo 兹zi 鬃zong 邹zou 租zu 钻zuan 嘴zui 尊zun
昨zuo
"""
# Letters that Unicode does not take apart into a plain one and an accent.
_LETTERS = str.maketrans(
    {"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "ı": "i"}
    | {"ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "þ": "th", "Þ": "TH"}
)
_FIRST_LEVEL = (b"\xb0\xa1", b"\xd7\xf9")
# Scripts by the start of a character's Unicode name, and the language that most probably has it.
_LANGUAGES = {
    "HIRAGANA": "JA",
    "KATAKANA": "JA",
    "HANGUL": "KO",
    "CJK": "ZH",
    "THAI": "TH",
    "LAO": "LO",
    "KHMER": "KM",
    "MYANMAR": "MY",
    "CYRILLIC": "RU",
    "GREEK": "EL",
    "ARABIC": "AR",
    "HEBREW": "HE",
    "DEVANAGARI": "HI",
    "BENGALI": "BN",
    "TAMIL": "TA",
}


def latin(text: str) -> str:
    """`text` in printable ASCII; characters that have no Latin form here are left out."""
    parts = []
    for character in unicodedata.normalize("NFC", text).translate(_LETTERS):
        syllable = _pinyin(character)
        if syllable:
            parts.append(f" {syllable.capitalize()} ")
        else:
            plain = unicodedata.normalize("NFKD", character)
            parts.append("".join(each for each in plain if " " <= each <= "~"))
    return re.sub(" +", " ", "".join(parts)).strip()


def language(text: str) -> str | None:
    """The ISO 639-1 code of the language that `text` is probably in; None for Latin script.

    Characters alone do not tell every language: Cyrillic counts as Russian. Kana and Hangul
    outweigh Chinese characters.
    """
    scripts = {unicodedata.name(each, "").partition(" ")[0] for each in text}
    return next((code for script, code in _LANGUAGES.items() if script in scripts), None)


def _pinyin(character: str) -> str:
    try:
        code = character.encode("gb2312")
    except UnicodeEncodeError:
        return ""
    if len(code) != 2 or not _FIRST_LEVEL[0] <= code <= _FIRST_LEVEL[1]:
        return ""
    starts, syllables = _table()
    return syllables[bisect_right(starts, code) - 1]


@cache
def _table() -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    entries = _SYLLABLES.split()
    return (
        tuple(entry[0].encode("gb2312") for entry in entries),
        tuple(entry[1:] for entry in entries),
    )
