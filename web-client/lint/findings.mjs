// What in a script or a style sheet is newer than the oldest browsers. Built files have no types, so members are known by
// their names alone: what has a name that scripts give to members of their own objects is passed over.
import { parse } from 'acorn';
import { ancestor, simple } from 'acorn-walk';
import postcss from 'postcss';

/** @typedef {{ what: string, why: string, at: number }} Finding `at` is where, in characters */

const constant = (node) => (node?.type === 'Literal' && typeof node.value === 'string' ? node.value : null);

/** Whether a script asks here if there is such a thing: `typeof x`, `x?.()`, and `(y = x) == null`, which the latter is built into. */
function isAsked(node, ancestors) {
  const [above, parent] = ancestors.slice(-3, -1);
  if (parent?.type === 'UnaryExpression' && parent.operator === 'typeof') return true;
  if (parent?.type === 'CallExpression' && parent.optional && parent.callee === node) return true;
  const isNull = above?.type === 'BinaryExpression' && above.right.type === 'Literal' && above.right.value === null;
  return parent?.type === 'AssignmentExpression' && parent.right === node && isNull;
}

/** Nodes of a syntax that came late, each with its path in MDN's `javascript`. */
const SYNTAX = {
  StaticBlock: () => 'classes.static.initialization_blocks',
  PropertyDefinition: (node) => (node.static ? 'classes.static.class_fields' : 'classes.public_class_fields'),
  PrivateIdentifier: () => 'classes.private_class_fields',
  AssignmentExpression: (node) =>
    ({ '||=': 'operators.logical_or_assignment', '&&=': 'operators.logical_and_assignment', '??=': 'operators.nullish_coalescing_assignment' })[node.operator],
  BinaryExpression: (node) => (node.operator === 'in' && node.left.type === 'PrivateIdentifier' ? 'classes.private_class_fields_in' : undefined),
  ImportAttribute: () => 'statements.import.import_attributes',
  Literal: (node) => {
    if (!node.regex) return undefined;
    if (node.regex.flags.includes('v')) return 'builtins.RegExp.unicodeSets';
    if (node.regex.flags.includes('d')) return 'builtins.RegExp.hasIndices';
    return undefined;
  },
};

const isFunction = (node) => /Function/.test(node?.type ?? '');
const keyOf = ({ key, computed }) => (computed ? constant(key) : key?.name ?? constant(key));

/** The names that scripts give to members of their own objects, and to methods: `.token` there says nothing about a browser. */
export function ownNames(trees) {
  const [members, methods] = [new Set(), new Set()];
  const add = (name, value) => name && (members.add(name), isFunction(value) && methods.add(name));
  const entry = (node) => add(keyOf(node), node.value);
  for (const tree of trees) {
    simple(tree, {
      ObjectExpression: ({ properties }) => properties.filter(({ type }) => type === 'Property').forEach(entry),
      MethodDefinition: entry,
      PropertyDefinition: entry,
      AssignmentExpression: ({ left, right }) => left.object?.type === 'ThisExpression' && add(memberName(left), right),
    });
  }
  return { members, methods };
}

const memberName = ({ computed, property }) => (computed ? constant(property) : property.name);

/** The syntax tree of a module. */
export const treeOf = (text) => parse(text, { ecmaVersion: 'latest', sourceType: 'module', allowHashBang: true });

/** Findings in a script; `own` are the names of all scripts that are loaded together. */
export function inScript(tree, scripts, own) {
  const findings = [];
  const note = (what, answers, at) => answers.length > 0 && findings.push({ what, why: answers.join(', '), at });
  const look = (node, _, ancestors) => {
    const path = SYNTAX[node.type]?.(node);
    if (path) note(path, scripts.syntax(path), node.start);
  };
  const visitors = Object.fromEntries(Object.keys(SYNTAX).map((type) => [type, look]));
  ancestor(tree, {
    ...visitors,
    AwaitExpression(node, _, ancestors) {
      if (!ancestors.some(isFunction)) note('operators.await.top_level', scripts.syntax('operators.await.top_level'), node.start);
    },
    Identifier(node, _, ancestors) {
      if (!isAsked(node, ancestors)) note(node.name, scripts.global(node.name), node.start);
    },
    MemberExpression(node, _, ancestors) {
      const name = memberName(node);
      const { object } = node;
      if (!name || object.type === 'ThisExpression' || isAsked(node, ancestors)) return;
      if (object.type === 'Identifier' && scripts.isGlobal(object.name)) {
        note(`${object.name}.${name}`, scripts.memberOf(object.name, name), node.start);
        return;
      }
      const isCalled = ancestors.at(-2)?.callee === node;
      const isOwn = isCalled ? own.methods.has(name) : own.members.has(name);
      if (!isOwn) note(`.${name}`, scripts.member(name), node.start);
    },
  });
  return findings;
}

/** Findings in a style sheet. */
export function inStyleSheet(text, styles) {
  const findings = [];
  const note = (what, answers, node) => answers.length > 0 && findings.push({ what, why: answers.join(', '), at: node.source.start.offset });
  postcss.parse(text).walk((node) => {
    if (node.type === 'atrule') {
      const name = node.name.replace(/^-\w+-/, '');
      note(`@${name}`, styles.atRule(name), node);
      if (name === 'media') for (const [, feature] of node.params.matchAll(/\(\s*([\w-]+)/g)) note(`@media (${feature})`, styles.media(feature), node);
      if (name === 'media' && /[<>]/.test(node.params)) findings.push({ what: '@media with a range', why: 'use min- and max-', at: node.source.start.offset });
    }
    if (node.type === 'rule') {
      if (node.parent.type === 'rule') note('nesting', styles.nesting(), node);
      for (const [, name] of node.selector.matchAll(/:([a-z][\w-]*)/g)) note(`:${name}`, styles.selector(name), node);
    }
    // A declaration before it of the same property is what older browsers take.
    const earlier = node.type === 'decl' && node.parent.nodes.slice(0, node.parent.index(node)).some((one) => one.prop === node.prop);
    if (node.type !== 'decl' || earlier || /^-/.test(node.prop) || node.parent.name === 'font-face') return;
    note(node.prop, styles.property(node.prop), node);
    const value = node.value.replace(/"[^"]*"|'[^']*'|url\([^)]*\)/g, '');
    for (const [, name] of value.matchAll(/([a-z][\w-]*)\(/g)) note(`${name}()`, styles.call(name), node);
    for (const [, unit] of value.matchAll(/\b\d*\.?\d+([a-z]+)\b/g)) note(unit, styles.unit(unit), node);
    for (const [word] of value.matchAll(/(?<![\w-])[a-z][a-z-]*(?![\w(-])/g)) note(`${node.prop}: ${word}`, styles.keyword(node.prop, word), node);
  });
  return findings;
}
