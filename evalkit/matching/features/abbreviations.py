"""Find what the abbreviations of one paper's lists stand for.

Three sources, in this order: words of the lists themselves whose first letters spell the abbreviation ("evolvable-basis
binarizer" and "EBB"), two words that another entry writes as one ("fine-tuning" and "finetuning"), and a hand-written
glossary of the field, which counts only where the words it gives stand together in some entry of the lists.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from evalkit.matching.features.tokens import analyse

# Written by hand from common usage; one abbreviation may stand for several things, the first that is found counts.
_GLOSSARY = """
kd: knowledge distillation; rl: reinforcement learning; sft: supervised fine tuning; ssl: self supervised learning;
cl: contrastive learning; cnn: convolutional neural network; gnn: graph neural network; gcn: graph convolutional
network; gat: graph attention network; rnn: recurrent neural network; dnn: deep neural network; nn: neural network;
nn: nearest neighbor; knn: nearest neighbors; mlp: multi layer perceptron; ffn: feed forward network; lr: learning
rate; wd: weight decay; kl: kullback leibler divergence; js: jensen shannon divergence; ce: cross entropy; bce:
binary cross entropy; mse: mean squared error; mae: mean absolute error; mae: masked autoencoder; nll: negative log
likelihood; ema: exponential moving average; sgd: stochastic gradient descent; bn: batch normalization; ln: layer
normalization; gn: group normalization; pe: positional encoding; pe: position embedding; rpe: relative position;
rpb: relative position bias; cot: chain of thought; icl: in context learning; rag: retrieval augmented generation;
moe: mixture of experts; cfg: classifier free guidance; llm: large language model; lm: language model; mlm: masked
language modeling; plm: pre trained language model; vlm: vision language model; mllm: multimodal large language
model; gan: generative adversarial network; vae: variational autoencoder; ae: autoencoder; gru: gated recurrent
unit; lstm: long short term memory; vit: vision transformer; sa: self attention; ca: cross attention; mha: multi
head attention; msa: multi head self attention; mhsa: multi head self attention; se: squeeze excitation; nerf:
neural radiance field; mcts: monte carlo tree search; ppo: proximal policy optimization; dpo: direct preference
optimization; rlhf: reinforcement learning from human feedback; ood: out of distribution; id: in distribution; tta:
test time augmentation; ttt: test time training; da: domain adaptation; da: data augmentation; uda: unsupervised
domain adaptation; nms: non maximum suppression; roi: region of interest; rpn: region proposal network; fpn: feature
pyramid network; aspp: atrous spatial pyramid pooling; crf: conditional random field; svd: singular value
decomposition; pca: principal component analysis; bow: bag of words; gp: gaussian process; bo: bayesian
optimization; em: expectation maximization; ot: optimal transport; mmd: maximum mean discrepancy; mi: mutual
information; ib: information bottleneck; ntk: neural tangent kernel; ode: ordinary differential equation; sde:
stochastic differential equation; pde: partial differential equation; fft: fast fourier transform; dct: discrete
cosine transform; nas: neural architecture search; dp: differential privacy; fl: federated learning; il: imitation
learning; bc: behavior cloning; mtl: multi task learning; mdp: markov decision process; hmm: hidden markov model;
svm: support vector machine; rf: random forest; gbdt: gradient boosted decision tree; lda: latent dirichlet
allocation; tv: total variation; bev: bird eye view; fov: field of view; sam: segment anything model; sam: sharpness
aware minimization; asr: automatic speech recognition; tts: text to speech; ner: named entity recognition; nsp: next
sentence prediction; qa: question answering; vqa: visual question answering; kg: knowledge graph; amr: abstract
meaning representation; pos: part of speech; nli: natural language inference; mt: machine translation; kv: key
value; qk: query key; gap: global average pooling; gelu: gaussian error linear unit; relu: rectified linear unit;
film: feature wise linear modulation; peft: parameter efficient fine tuning; lora: low rank adaptation; cbow:
continuous bag of words; dfs: depth first search; bfs: breadth first search; sota: state of the art; hp: hyper
parameter; gt: ground truth; fg: foreground; bg: background; mcmc: markov chain monte carlo; snr: signal to noise
ratio; iou: intersection over union; dim: dimension; param: parameter; aug: augmentation; attn: attention; init:
initialization; reg: regularization; conv: convolution; norm: normalization; emb: embedding; feat: feature; temp:
temperature; num: number; seq: sequence; rec: reconstruction; recon: reconstruction; adv: adversarial; pred:
prediction; loc: localization; cls: classification; det: detection; seg: segmentation; disc: discriminator; gen:
generator; enc: encoder; dec: decoder; optim: optimizer; info: information; freq: frequency; max: maximum; min:
minimum; avg: average; lambda: weight; lambda: coefficient; tau: temperature; tau: threshold; gamma: discount
factor; eta: learning rate; epsilon: perturbation
"""

Place = tuple[str, int]
"""A word by the text it stands in and its place among the words of that text."""


def _parse_glossary(text: str) -> dict[str, tuple[tuple[str, ...], ...]]:
    table: dict[str, tuple[tuple[str, ...], ...]] = {}
    for line in text.replace("\n", " ").split(";"):
        short, _, long = line.strip().partition(": ")
        table[short] = (*table.get(short, ()), tuple(word.stem for word in analyse(long).words))
    return table


GLOSSARY = _parse_glossary(_GLOSSARY)


@dataclass(frozen=True, slots=True)
class EntryForms:
    """What an entry's texts hold: stems, those that could be abbreviations, and what they could be abbreviated to."""

    stems: frozenset[str]
    short: frozenset[str]
    initials: frozenset[str]
    compounds: frozenset[str]


@lru_cache(maxsize=65536)
def _forms(texts: tuple[str, ...]) -> EntryForms:
    analysed = [analyse(text) for text in texts]
    words = [word for text in analysed for word in text.words]
    return EntryForms(
        frozenset(word.stem for word in words),
        frozenset(word.stem for word in words if word.acronym and 2 <= len(word.stem) <= 6),
        frozenset(letters for text in analysed for letters in text.initials),
        frozenset(joined for text in analysed for joined in text.compounds),
    )


def expansions(entries: Iterable[tuple[str, ...]]) -> dict[str, tuple[Place, ...]]:
    """Return what every abbreviation of these lists stands for: stem -> the words, each by where it can be read.

    The result does not depend on the order of the entries.
    """
    forms = {entry: _forms(entry) for entry in sorted(set(entries))}
    stems = frozenset().union(*(one.stems for one in forms.values()))
    short = frozenset().union(*(one.short for one in forms.values()))
    spelled_out = [
        entry for entry, one in forms.items()
        if not short.isdisjoint(one.initials) or not stems.isdisjoint(one.compounds)
    ]  # fmt: skip
    places: dict[str, tuple[Place, ...]] = {}
    for text in sorted({text for entry in spelled_out for text in entry}):
        words, initials, compounds = (one := analyse(text)).words, one.initials, one.compounds
        for stem in sorted(short & initials.keys()) + sorted(stems & compounds.keys()):
            long = initials[stem] if stem in short and stem in initials else compounds[stem]
            if stem not in places and stem not in {words[index].stem for index in long}:
                places[stem] = tuple((text, index) for index in long)
    for entry, one_entry in forms.items() if (rest := sorted((stems & GLOSSARY.keys()) - places.keys())) else ():
        for stem in rest:
            for meaning in GLOSSARY[stem]:
                if stem not in places and one_entry.stems.issuperset(meaning):
                    places[stem] = tuple(_first(word, entry) for word in meaning)
    return places


def _first(stem: str, texts: Iterable[str]) -> Place:
    """Return where a stem stands first."""
    words = ((text, index, word) for text in texts for index, word in enumerate(analyse(text).words))
    return next((text, index) for text, index, word in words if word.stem == stem)
