// Markdown to document nodes, safely: marked reads, this builds. Nothing is ever parsed as HTML; what looks like HTML is
// shown as the text it is; links lead only to http, https and mailto; pictures become links, since loading them would
// tell their host who reads.
//
//   new MarkdownStream(element, {onrender})   .append(text), .finish(text): renders into the element as the text grows
"use strict";

// ---- Blocks

const markdownBlocks = {
  space: () => null,
  plain: (token) => agent.el("p", { class: "md-plain", text: token.text }),
  def: () => null,
  paragraph: (token) => agent.el("p", {}, ...markdownInline(token.tokens)),
  text: (token) => (token.tokens ? inlineFragment(token.tokens) : document.createTextNode(decodeEntities(token.text))),
  html: (token) => agent.el("p", { class: "md-html", text: token.raw.trim() }),
  hr: () => agent.el("hr"),
  blockquote: (token, state) => agent.el("blockquote", {}, ...markdownNodes(token.tokens, state)),
  code: (token) => codeBlock(token.text, token.lang),

  // Below the page's own headings, and none left out on the way down.
  heading: (token, state) => {
    state.level = Math.max(3, Math.min(token.depth + 2, state.level + 1, 6));
    return agent.el(`h${state.level}`, { class: `md-depth-${token.depth}` }, ...markdownInline(token.tokens));
  },

  list: (token, state) => {
    const items = token.items.map((item) => {
      const box = item.task ? (item.checked ? "☑ " : "☐ ") : null;
      const tokens = item.tokens.filter(({ type }) => type !== "checkbox");
      return agent.el("li", { class: item.task ? "md-task" : null }, box, ...markdownNodes(tokens, state));
    });
    const list = agent.el(token.ordered ? "ol" : "ul", {}, ...items);
    if (token.ordered && token.start !== 1 && token.start !== "") list.start = token.start;
    return list;
  },

  table: (token) => {
    const cell = (tag, scope) => (content, column) => {
      const element = agent.el(tag, { scope }, ...markdownInline(content.tokens));
      if (token.align[column]) element.style.textAlign = token.align[column];
      return element;
    };
    const head = agent.el("tr", {}, ...token.header.map(cell("th", "col")));
    const rows = token.rows.map((row) => agent.el("tr", {}, ...row.map(cell("td"))));
    const table = agent.el("table", { dir: "auto" }, agent.el("thead", {}, head), agent.el("tbody", {}, ...rows));
    return agent.el("div", { class: "table-scroll", tabindex: "0", role: "group", label: () => agent.t("markdown.table") }, table);
  },
};

function codeBlock(code, language) {
  const name = (language ?? "").split(/\s/)[0];
  return agent.el(
    "div", { class: "code-block", dir: "ltr", data: { testid: "code-block" } },
    agent.el("div", { class: "code-head" }, agent.el("span", { text: name }), agent.copyButton(() => code)),
    agent.el("pre", { tabindex: "0", role: "group", label: () => agent.t("markdown.code") }, agent.el("code", { text: code })),
  );
}

function markdownNodes(tokens, state) {
  return tokens.map((token) => {
    const block = markdownBlocks[token.type];
    return block ? block(token, state) : (markdownInline([token])[0] ?? null);
  });
}

// ---- Inline

function markdownInline(tokens) {
  const wrap = (tag) => (token) => agent.el(tag, {}, ...markdownInline(token.tokens));
  const kinds = {
    strong: wrap("strong"),
    em: wrap("em"),
    del: wrap("del"),
    br: () => agent.el("br"),
    codespan: (token) => agent.el("code", { text: token.text }),
    link: (token) => markdownLink(token.href, markdownInline(token.tokens)),
    image: (token) => markdownLink(token.href, [token.text || token.href]),
    html: (token) => token.raw,
    escape: (token) => token.text,
    text: (token) => (token.tokens ? inlineFragment(token.tokens) : decodeEntities(token.text)),
    plain: (token) => agent.el("span", { class: "md-plain", text: token.text }),
  };
  return tokens.map((token) => (kinds[token.type] ?? ((other) => other.raw))(token));
}

function inlineFragment(tokens) {
  const fragment = document.createDocumentFragment();
  fragment.append(...markdownInline(tokens));
  return fragment;
}

function markdownLink(href, children) {
  const isSafe = URL.canParse(href) && ["http:", "https:", "mailto:"].includes(new URL(href).protocol);
  if (!isSafe) return agent.el("span", {}, ...children);
  return agent.el("a", { href, rel: "noopener noreferrer", target: "_blank" }, ...children);
}

// marked leaves entities to the browser's HTML parser, which is not used here.
function decodeEntities(text) {
  const named = { amp: "&", lt: "<", gt: ">", quot: "\"", apos: "'", nbsp: "\u00a0", copy: "©", hellip: "…", mdash: "—", ndash: "–", zwnj: "\u200c" };
  return text.replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|([a-z]+));/gi, (whole, decimal, hex, name) => {
    if (name) return named[name] ?? whole;
    const code = decimal ? Number(decimal) : Number.parseInt(hex, 16);
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}

// ---- Reading

// For some texts marked's work grows with the square of their length: a model that repeats itself, or is told to, would
// freeze the page for minutes. What is read here has bounds, far above what people and models write for each other; past
// them it is shown as it was written.

// Where marked stops within a paragraph, a heading, an item or a cell, and may search all the rest of it from there: as
// many as this in one of them take a tenth of a second. A paragraph has tens, a glossary without a blank line hundreds,
// and in a table each cell counts for itself. Bounded is the sum of their squares over all that is read at once.
const MARKS = /[*_~!<`[\\]|:\/\/|www\.|@/gi;
const MOST_MARKS = 1_000;
const DEEPEST = 32; // lists and quotations within each other
const LONG_WORD = /^\S{2000}/; // no address to be made a link
const MOST_BLANKS = 100; // side by side; a browser shows them as one

class BoundedTokenizer extends marked.Tokenizer {
  // To underline a heading within a list's item is not worth looking for it from every line to the end.
  lheading(source) {
    return this.lexer.state.top ? super.lheading(source) : undefined;
  }

  url(source) {
    return LONG_WORD.test(source) ? undefined : super.url(source);
  }
}

class BoundedLexer extends marked.Lexer {
  effort = MOST_MARKS ** 2; // what is left of it
  depth = 0;

  constructor() {
    // What a model writes on two lines it means to be on two lines.
    super({ gfm: true, breaks: true, tokenizer: new BoundedTokenizer() });
  }

  blockTokens(source, tokens = [], ...others) {
    if (this.depth > DEEPEST) {
      tokens.push({ type: "plain", raw: source, text: source });
      return tokens;
    }
    this.depth += 1;
    super.blockTokens(source, tokens, ...others);
    this.depth -= 1;
    return tokens;
  }

  inlineTokens(source, tokens = []) {
    const effort = (source.match(MARKS)?.length ?? 0) ** 2;
    if (effort > this.effort) {
      tokens.push({ type: "plain", raw: source, text: source });
      return tokens;
    }
    this.effort -= effort;
    return super.inlineTokens(source.replace(/ +/g, (blanks) => blanks.slice(0, MOST_BLANKS)), tokens);
  }
}

function markdownTokens(text) {
  try {
    return new BoundedLexer().lex(text);
  } catch {
    // Whatever it chokes on.
    return [{ type: "plain", raw: text, text }];
  }
}

// ---- Whole texts, and growing ones

// A single block longer than this is shown as it was written: reading a megabyte without a paragraph takes seconds.
const LONGEST_BLOCK = 100_000;
const PLAIN_PIECE = 10_000;
const LONG_TEXT = 50_000;
const BUILT_AT_ONCE = 30_000;

// marked drops them; here lengths are counted.
function withoutReturns(text) {
  return text.replaceAll("\r", "");
}

// Each block finds its own direction: a Persian answer quotes English ones.
function topLevelNodes(tokens, state) {
  return markdownNodes(tokens, state).filter(Boolean).map((node) => {
    const block = node instanceof Element ? node : agent.el("p", {}, node);
    if (!block.dir) block.dir = "auto";
    return block;
  });
}

// Blocks that are complete are built once and stay; only the last one, which may still grow, is built anew, once a frame
// at most. While that one is long, it is only read again when it has grown by a part of itself, and what comes in
// between is appended as plain text: so a text is read a few times over, however many pieces it comes in. That each
// reading ends soon is for the bounds above to see to.
class MarkdownStream {
  constructor(element, { onrender } = {}) {
    Object.assign(this, { element, onrender });
    this.start();
  }

  start() {
    this.element.replaceChildren();
    this.state = { level: 2 };
    this.text = "";
    this.settled = 0; // where the last block begins
    this.readTo = 0; // how much of the text has been read
    this.last = []; // the nodes of the last block
    this.pending = []; // paragraphs of what has not been read yet, as plain text
    this.pendingLength = 0;
    this.frame = 0;
  }

  append(text) {
    this.text += withoutReturns(text);
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.render();
      this.onrender?.();
    });
  }

  render() {
    this.markLong();
    const length = this.text.length - this.settled;
    const read = this.readTo - this.settled;
    const isWorthwhile = length < 4_000 || length > read * 1.25;
    if (length > LONGEST_BLOCK || !isWorthwhile) this.showPending();
    else this.read(false);
  }

  // In pieces: to lay out one paragraph of a megabyte anew in each frame is what freezes a page.
  showPending() {
    for (let news = this.text.slice(this.readTo + this.pendingLength); news; ) {
      let node = this.pending.at(-1)?.firstChild;
      if (!node || node.length >= PLAIN_PIECE) {
        node = document.createTextNode("");
        this.pending.push(agent.el("p", { class: "md-plain", dir: "auto" }, node));
        this.element.append(this.pending.at(-1));
      }
      const piece = news.slice(0, PLAIN_PIECE - node.length);
      node.appendData(piece);
      news = news.slice(piece.length);
      this.pendingLength += piece.length;
    }
  }

  // Builds the blocks from the last one on.
  read(isEnd) {
    const tokens = markdownTokens(this.text.slice(this.settled));
    for (const node of [...this.pending, ...this.last]) node.remove();
    this.pending = [];
    this.pendingLength = 0;
    this.last = [];

    let open = tokens.length;
    if (!isEnd) {
      while (open > 0 && tokens[open - 1].type === "space") open -= 1;
      open = Math.max(0, open - 1);
    }
    const closed = tokens.slice(0, open);
    this.element.append(...topLevelNodes(closed, this.state));
    this.settled += closed.reduce((length, token) => length + token.raw.length, 0);
    // The level is not moved on by a block that will be built again.
    this.last = topLevelNodes(tokens.slice(open), { ...this.state });
    this.element.append(...this.last);
    this.readTo = this.text.length;
  }

  // The text is complete; given, it replaces what has come so far. What is long is built piece by piece, with time for
  // the page between.
  finish(given = this.text) {
    const text = withoutReturns(given);
    cancelAnimationFrame(this.frame);
    // What is written below may say where a link above leads.
    const hasDefinitions = text.length <= BUILT_AT_ONCE && /^ {0,3}\[[^\]\n]+\]:/m.test(text);
    if (!text.startsWith(this.text) || hasDefinitions) this.start();
    this.finishNext(text);
  }

  finishNext(whole) {
    this.text = whole.slice(0, this.text.length + BUILT_AT_ONCE);
    if (this.text.length < whole.length) {
      this.render();
      setTimeout(() => this.finishNext(whole));
    } else {
      this.markLong();
      if (this.longestParagraph() > LONGEST_BLOCK) this.showPending();
      else this.read(true);
    }
    this.onrender?.();
  }

  markLong() {
    if (this.text.length > LONG_TEXT) this.element.classList.add("is-long");
  }

  longestParagraph() {
    let longest = 0;
    for (let at = this.settled; at < this.text.length; ) {
      const end = this.text.indexOf("\n\n", at);
      const next = end < 0 ? this.text.length : end + 2;
      longest = Math.max(longest, next - at);
      at = next;
    }
    return longest;
  }
}
