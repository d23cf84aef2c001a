// What the oldest browsers know, from MDN's compatibility data.
import { createRequire } from 'node:module';

const data = createRequire(import.meta.url)('@mdn/browser-compat-data');

/** @typedef {Record<string, number>} Browsers the oldest version of each browser, under its name in MDN's data */

/**
 * Since which version `browser` has had a feature without a flag or a prefix: 0 from the beginning, Infinity not yet.
 * @returns {number}
 */
function since(feature, browser) {
  const support = [feature.__compat.support[browser] ?? []].flat().find((one) => !one.flags && !one.prefix && !one.alternative_name);
  if (!support || support.version_removed || !support.version_added || support.version_added === 'preview') return Infinity;
  return Number.parseFloat(String(support.version_added).replace('≤', '')) || 0;
}

/** The browsers of `oldest` that are too old for a feature, in words: `chrome 92 > 87`. */
function tooOld(feature, oldest) {
  return Object.entries(oldest)
    .map(([browser, version]) => [browser, version, since(feature, browser)])
    .filter(([, version, needed]) => needed > version)
    .map(([browser, version, needed]) => `${browser} ${needed === Infinity ? 'never' : needed} > ${version}`);
}

const child = (feature, name) => (feature && Object.hasOwn(feature, name) && name !== '__compat' ? feature[name] : undefined);
const children = (feature) => Object.keys(feature ?? {}).filter((name) => name !== '__compat').map((name) => [name, feature[name]]);

/** The answer of the browser that fares best among features of one name: only what none of them has is too new. */
function best(features, oldest) {
  const answers = features.filter((feature) => feature.__compat).map((feature) => tooOld(feature, oldest));
  return answers.reduce((least, answer) => (least === null || answer.length < least.length ? answer : least), null) ?? [];
}

/** What a script may use, by name alone: built files have no types. */
export class Scripts {
  #globals = new Map();
  #members = new Map();

  constructor(oldest) {
    this.oldest = oldest;
    for (const [name, feature] of [...children(data.api), ...children(data.javascript.builtins), ...children(data.javascript.builtins.Intl)]) {
      this.#add(this.#globals, name, feature);
      for (const [member, of] of children(feature)) this.#add(this.#members, member.replace(/_static$|_event$/, ''), of);
    }
    // Functions and values of the global object stand there as members of windows and workers.
    for (const scope of ['Window', 'WindowOrWorkerGlobalScope']) {
      for (const [name, feature] of children(data.api[scope])) this.#add(this.#globals, name.replace(/_event$/, ''), feature);
    }
  }

  #add(where, name, feature) {
    where.set(name, [...(where.get(name) ?? []), feature]);
  }

  isGlobal(name) {
    return this.#globals.has(name) && /^[A-Z]/.test(name);
  }

  /** The browsers too old for a global of this name; none if there is no such global. */
  global(name) {
    return best(this.#globals.get(name) ?? [], this.oldest);
  }

  /** The browsers too old for a member of this name of whatever object: only what no object had then is found. */
  member(name) {
    return best(this.#members.get(name) ?? [], this.oldest);
  }

  /** The same for a member of a global that is named itself, `Object.hasOwn`. */
  memberOf(name, member) {
    const features = [data.api[name], data.javascript.builtins[name]].flatMap((of) => [child(of, `${member}_static`), child(of, member)]);
    return best(features.filter(Boolean), this.oldest);
  }

  /** The browsers too old for syntax: a path in MDN's `javascript`, `classes.static_initialization_blocks`. */
  syntax(path) {
    return tooOld(path.split('.').reduce((feature, name) => feature[name], data.javascript), this.oldest);
  }
}

/** What a style sheet may use. */
export class Styles {
  #functions = new Map();

  constructor(oldest) {
    this.oldest = oldest;
    const gather = (feature) => {
      for (const [name, of] of children(feature)) {
        if (of.__compat) this.#functions.set(name, [...(this.#functions.get(name) ?? []), of]);
        gather(of);
      }
    };
    gather(data.css.types);
  }

  property(name) {
    const feature = child(data.css.properties, name);
    return feature ? tooOld(feature, this.oldest) : ['no browser knows it'];
  }

  /** A keyword of a property. */
  keyword(property, word) {
    const feature = child(child(data.css.properties, property), word);
    return feature?.__compat ? tooOld(feature, this.oldest) : [];
  }

  /** A function, `color-mix`. */
  call(name) {
    return best(this.#functions.get(name) ?? [], this.oldest);
  }

  /** Units that came late. */
  unit(unit) {
    const types = data.css.types.length;
    if (/^[dsl]v(h|w|min|max|i|b)$/.test(unit)) {
      const which = { d: 'dynamic', s: 'small', l: 'large' }[unit[0]];
      return tooOld(types[`viewport_percentage_units_${which}`], this.oldest);
    }
    const feature = child(types, unit);
    return feature?.__compat ? tooOld(feature, this.oldest) : [];
  }

  atRule(name) {
    const feature = child(data.css['at-rules'], name);
    return feature ? tooOld(feature, this.oldest) : ['no browser knows it'];
  }

  /** A media feature, `prefers-reduced-motion`. */
  media(name) {
    const feature = child(data.css['at-rules'].media, name.replace(/^(min|max)-/, ''));
    return feature?.__compat ? tooOld(feature, this.oldest) : [];
  }

  /** A pseudo-class or pseudo-element. */
  selector(name) {
    const feature = child(data.css.selectors, name);
    return feature?.__compat ? tooOld(feature, this.oldest) : [];
  }

  nesting() {
    return tooOld(data.css.selectors.nesting, this.oldest);
  }
}
