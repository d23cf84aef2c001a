// Whether Prometheus and Grafana can read what stands in config/: by Prometheus' own grammar. That each metric they ask for
// exists is tested beside `/metrics`, in tests/api/telemetry.rs.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parser } from '@prometheus-io/lezer-promql';
import { parse as parseYaml } from 'yaml';

const read = (file) => readFileSync(new URL(`../../../config/${file}`, import.meta.url), 'utf8');

/** Where an expression stops making sense, or null. */
function mistake(expression) {
  let found = null;
  parser.parse(expression).iterate({ enter: (node) => void (node.type.isError && (found ??= expression.slice(0, node.from))) });
  return found;
}

function rulesOf(file) {
  const document = parseYaml(read(file));
  assert.deepEqual(Object.keys(document), ['groups']);
  const rules = document.groups.flatMap((group) => {
    assert.deepEqual(Object.keys(group), ['name', 'rules']);
    return group.rules;
  });
  assert.ok(rules.length > 0);
  for (const { expr } of rules) assert.equal(mistake(expr), null, expr);
  return rules;
}

test('a mistake in an expression is found', () => {
  assert.equal(mistake('rate(a[1m]) > 1'), null);
  for (const wrong of ['rate(a[1m)', 'sum by a)', 'a{b=}', 'histogram_quantile(0.95,']) assert.notEqual(mistake(wrong), null, wrong);
});

test('every alert can be loaded, and says in Chinese and English what is wrong', () => {
  const alerts = rulesOf('prometheus/alerts.yml');
  for (const { alert, expr, for: patience = '0s', labels, annotations, ...unknown } of alerts) {
    assert.deepEqual(unknown, {}, alert);
    assert.match(patience, /^\d+[smhd]$/, alert);
    assert.ok(['page', 'warn'].includes(labels.severity), alert);
    assert.match(annotations.summary, /[\u4e00-\u9fff].*[a-z].*\.$/, alert);
    assert.ok(expr);
  }
  assert.equal(new Set(alerts.map(({ alert }) => alert)).size, alerts.length);
});

test('every recording rule can be loaded, and is named level:metric:operations', () => {
  for (const { record, expr, ...unknown } of rulesOf('prometheus/recording.yml')) {
    assert.deepEqual(unknown, {}, record);
    assert.match(record, /^\w+:\w+:\w+$/);
    assert.ok(expr);
  }
});

test('every panel of the dashboard has a place of its own and expressions that can be read', () => {
  const { schemaVersion, panels } = JSON.parse(read('grafana/mingshi.json'));
  assert.ok(schemaVersion >= 36);
  const taken = new Set();
  for (const { title, type, gridPos: { x, y, w, h }, targets = [] } of panels) {
    assert.ok(title && type && w > 0 && h > 0 && x >= 0 && x + w <= 24, title);
    for (let column = x; column < x + w; column++) {
      for (let row = y; row < y + h; row++) {
        assert.ok(!taken.has(`${column},${row}`), `${title} covers another panel`);
        taken.add(`${column},${row}`);
      }
    }
    for (const { expr } of targets) {
      assert.equal(mistake(expr.replaceAll('$__rate_interval', '1m').replaceAll('$__range', '1h')), null, expr);
    }
  }
});
