#!/usr/bin/env python3
"""Speak the demonstration lesson and write it to voice.ogg: Opus, mono, exactly as long as all slides together.

Needs espeak-ng and ffmpeg. Mandarin is given as pinyin with tone numbers, because espeak-ng speaks that clearly;
the Hanzi beside it says what it means. Every entry is one slide of six seconds.
"""

import pathlib
import subprocess
import tempfile

SLIDE_SECONDS = 6
MANDARIN, ENGLISH = "cmn-latn-pinyin", "en-us"

SLIDES = [
    # 同学们好，今天我们学习：你想吃点什么？
    [(MANDARIN, "tong2 xue2 men5 hao3, jin1 tian1 wo3 men5 xue2 xi2:"), (ENGLISH, "What would you like?")],
    # 这节课我们要学会问，也要学会回答。
    [(MANDARIN, "zhe4 jie2 ke4, wo3 men5 yao4 xue2 hui4 wen4, ye3 yao4 xue2 hui4 hui2 da2.")],
    # 请跟我读：
    [(MANDARIN, "qing3 gen1 wo3 du2:"), (ENGLISH, "sandwich, salad, hamburger, ice cream.")],
    # 你想吃点什么？
    [(ENGLISH, "What would you like to eat?"), (ENGLISH, "I'd like a sandwich, please.")],
    # 请听爷爷和吴一凡的对话。
    [(MANDARIN, "qing3 ting1 ye2 ye5 he2 wu2 yi4 fan2 de5 dui4 hua4."), (ENGLISH, "A sandwich, please.")],
    # 想喝点什么？请选择正确的答案。
    [(ENGLISH, "What would you like to drink?"), (MANDARIN, "qing3 xuan3 ze2 zheng4 que4 de5 da2 an4.")],
    # 轮到你们了，想发言的同学请举手。
    [(MANDARIN, "lun2 dao4 ni3 men5 le5. xiang3 fa1 yan2 de5 tong2 xue2, qing3 ju3 shou3.")],
    # 今天的课就到这里，同学们再见！
    [(MANDARIN, "jin1 tian1 de5 ke4 jiu4 dao4 zhe4 li3. tong2 xue2 men5, zai4 jian4!"), (ENGLISH, "Goodbye!")],
]


def speak(voice: str, text: str, path: pathlib.Path) -> None:
    subprocess.run(["espeak-ng", "-v", voice, "-s", "165", "-g", "1", "-w", path, text], check=True)


def seconds(path: pathlib.Path) -> float:
    probe = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", path]
    return float(subprocess.run(probe, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    here = pathlib.Path(__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        inputs, filters, labels = [], [], []
        for slide, sentences in enumerate(SLIDES):
            at = 0.25
            for voice, text in sentences:
                path = pathlib.Path(folder) / f"{len(inputs)}.wav"
                speak(voice, text, path)
                start = slide * SLIDE_SECONDS + at
                at += seconds(path) + 0.15
                if at > SLIDE_SECONDS:
                    raise SystemExit(f"slide {slide + 1} takes {at:.1f} s to speak")
                filters.append(f"[{len(inputs)}]aresample=48000,adelay={start * 1000:.0f}[s{len(inputs)}]")
                labels.append(f"[s{len(inputs)}]")
                inputs += [["-i", str(path)]]
        length = SLIDE_SECONDS * len(SLIDES)
        graph = ";".join(filters) + ";" + "".join(labels)
        graph += f"amix=inputs={len(inputs)}:normalize=0,apad=whole_dur={length},atrim=end={length},highpass=f=80,"
        graph += "alimiter=limit=0.5:level=false[out]"
        command = ["ffmpeg", "-y", "-v", "error", *sum(inputs, []), "-filter_complex", graph, "-map", "[out]"]
        command += ["-c:a", "libopus", "-b:a", "32k", "-application", "voip", "-ac", "1", "-ar", "48000"]
        command += ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact", here / "voice.ogg"]
        subprocess.run(command, check=True)
    print(here / "voice.ogg", seconds(here / "voice.ogg"), "s")


if __name__ == "__main__":
    main()
