import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { SETTING_VARIABLES } from "../platform/config.ts";
import { ROUTES } from "../server/auth/routes.ts";
import { root } from "./command.ts";
import { call, type Lab, type Loose, openLab } from "./server/lab.ts";

/** What is shipped for operators names only what exists: settings, routes, files, metrics, and each other. */

const folder = join(root, "docker");
const text = (path: string) => readFileSync(join(folder, path), "utf8");
const routes = Object.keys(ROUTES);

function valuesUnder(node: Loose, key: string): Loose[] {
  if (typeof node !== "object" || node === null) return [];
  return Object.entries(node).flatMap(([name, value]) => [
    ...(name === key ? [value] : []),
    ...valuesUnder(value, key),
  ]);
}

const settingsIn = (names: readonly string[]) => names.filter((name) => name.startsWith("POLYGYM_"));

describe("compose", () => {
  const compose: Loose = parse(text("compose.yaml"), { merge: true });
  const services: [string, Loose][] = Object.entries(compose.services);

  test("has server, workers, Redis and PostgreSQL, each pinned or built from files that exist", () => {
    expect(Object.keys(compose.services)).toEqual(["server", "worker", "redis", "postgres", "prometheus", "grafana"]);
    for (const [name, { image, build }] of services) {
      if (build === undefined) expect(image, name).toMatch(/:[a-z]*\d/);
      else expect(existsSync(join(folder, build.context, build.dockerfile)), name).toBe(true);
    }
  });

  test("starts in an order that exists, after what is healthy, and keeps what must stay in volumes", () => {
    for (const [name, { depends_on: after = {}, volumes = [] }] of services) {
      const healthy = Array.isArray(after) ? [] : Object.entries<Loose>(after);
      for (const [other, { condition }] of healthy) {
        expect(condition).toBe("service_healthy");
        expect(compose.services[other].healthcheck, `${name} after ${other}`).toBeDefined();
      }
      for (const other of Array.isArray(after) ? after : []) expect(compose.services).toHaveProperty(other);
      for (const [from] of (volumes as string[]).map((volume) => volume.split(":"))) {
        if (from?.startsWith("./")) expect(existsSync(join(folder, from)), from).toBe(true);
        else if (!from?.startsWith("/")) expect(compose.volumes, name).toHaveProperty(from ?? "");
      }
    }
  });

  test("sets only settings that exist, no password of its own, and a Redis that neither evicts nor forgets", () => {
    const set = services.flatMap(([, { environment = {} }]) => settingsIn(Object.keys(environment)));
    expect(set.length).toBeGreaterThan(4);
    for (const name of set) expect(SETTING_VARIABLES).toContain(name);
    expect(compose.services.worker.environment).toHaveProperty("POLYGYM_STORE");
    for (const match of text("compose.yaml").matchAll(/(?:PASSWORD: |polygym:)(\S+?)[@\s]/g))
      if (match[1]?.includes("PASSWORD")) expect(match[1]).toMatch(/^\$\{POLYGYM_DB_PASSWORD:\?/);
    expect(compose.services.redis.command.join(" ")).toContain("--maxmemory-policy noeviction");
    expect(compose.services.redis.command.join(" ")).toContain("--appendonly yes");
  });
});

describe("kubernetes", () => {
  const at = join(folder, "kubernetes");
  const kustomization: Loose = parse(text("kubernetes/kustomization.yaml"));
  const documents: Loose[] = kustomization.resources.flatMap((file: string) =>
    parseAllDocuments(readFileSync(join(at, file), "utf8")).map((document) => {
      expect(document.errors, file).toEqual([]);
      return document.toJS();
    }),
  );
  const ofKind = (kind: string) => documents.filter((document) => document.kind === kind);
  const workloads = [...ofKind("Deployment"), ...ofKind("StatefulSet")];
  const podOf = (workload: Loose) => workload.spec.template.spec;
  /** Made by the operator; kustomization.yaml says how. */
  const secrets: Record<string, string[]> = { polygym: ["db-password", "token"], "polygym-viewer": ["token"] };

  test("lists every file, and every document has a version, a kind and a name of its own", () => {
    const listed: string[] = [...kustomization.resources, "kustomization.yaml"];
    expect(listed.sort()).toEqual(readdirSync(at).sort());
    const names = documents.map(({ apiVersion, kind, metadata }) => `${apiVersion} ${kind} ${metadata.name}`);
    for (const name of names) expect(name).toMatch(/^[a-z0-9./]+ [A-Za-z]+ [a-z-]+$/);
    expect(new Set(names).size).toBe(names.length);
    const workloadNames: string[] = workloads.map((workload) => workload.metadata.name);
    expect(workloadNames.sort()).toEqual(["polygym-postgres", "polygym-redis", "polygym-server", "polygym-worker"]);
  });

  test("selectors choose pods that exist, ports have names that exist, mounts have volumes", () => {
    const pods = workloads.map((workload) => workload.spec.template.metadata.labels);
    const chosen = (selector: Loose) =>
      pods.filter((labels) => Object.entries(selector).every(([name, value]) => labels[name] === value));
    for (const workload of workloads) {
      expect(chosen(workload.spec.selector.matchLabels)).toEqual([workload.spec.template.metadata.labels]);
      const volumes = [...(podOf(workload).volumes ?? []), ...(workload.spec.volumeClaimTemplates ?? [])];
      const named = volumes.map((volume: Loose) => volume.name ?? volume.metadata.name);
      for (const { name } of valuesUnder(podOf(workload), "volumeMounts").flat()) expect(named).toContain(name);
    }
    for (const budget of ofKind("PodDisruptionBudget"))
      expect(chosen(budget.spec.selector.matchLabels)).toHaveLength(1);
    for (const { spec } of ofKind("Service")) {
      expect(chosen(spec.selector)).toHaveLength(1);
      const [workload] = workloads.filter((w) => w.spec.selector.matchLabels.app === spec.selector.app);
      const ports = podOf(workload).containers.flatMap((container: Loose) => container.ports);
      for (const { port, targetPort } of spec.ports)
        expect(ports).toContainEqual({ name: targetPort, containerPort: port });
    }
  });

  test("environments name settings, secrets and addresses that exist, and no link of a Service sets one", () => {
    const services = ofKind("Service").map((service) => service.metadata.name);
    let seen = 0;
    for (const config of ofKind("ConfigMap"))
      for (const name of Object.keys(config.data)) expect(SETTING_VARIABLES).toContain(name);
    for (const workload of workloads) {
      for (const container of podOf(workload).containers) {
        if (container.image === "polygym") expect(podOf(workload).enableServiceLinks).toBe(false);
        for (const { name } of container.env ?? [])
          if (name.startsWith("POLYGYM_")) expect(SETTING_VARIABLES).toContain(name);
      }
      for (const { name, key } of valuesUnder(workload, "secretKeyRef")) {
        seen++;
        expect(secrets[name]).toContain(key);
      }
    }
    expect(seen).toBeGreaterThan(2);
    const all = documents.map((document) => JSON.stringify(document)).join("\n");
    const hosts = [...all.matchAll(/(?:redis|http|postgres):\/\/(?:[^@"/]*@)?([a-z-]+):/g)].map((match) => match[1]);
    expect(hosts.length).toBeGreaterThan(4);
    for (const host of hosts) expect(services).toContain(host);
    for (const [name] of Object.entries(secrets))
      expect(text("kubernetes/kustomization.yaml")).toContain(`generic ${name}`);
  });

  test("entries are files of ours, probes ask routes that need no token, and only workers are privileged", () => {
    for (const workload of workloads) {
      const probes = ["startupProbe", "readinessProbe", "livenessProbe"].flatMap((name) => valuesUnder(workload, name));
      for (const { httpGet } of probes)
        if (httpGet !== undefined) expect(ROUTES).toHaveProperty([`GET ${httpGet.path}`], "open");
      const privileged = valuesUnder(workload, "privileged").includes(true);
      expect(privileged).toBe(workload.metadata.name === "polygym-worker");
      for (const { image, args } of podOf(workload).containers)
        if (image === "polygym") expect(existsSync(join(root, args[0]))).toBe(true);
        else expect(image).toMatch(/:\d/);
    }
  });
});

describe("with a server", () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await openLab();
  });
  afterAll(() => lab?.[Symbol.asyncDispose]());

  test("autoscaling asks routes that a viewer may use, for numbers that are in their answers", async () => {
    const viewer = await lab.token("viewer");
    const [, scaled]: Loose[] = parseAllDocuments(text("kubernetes/autoscaling.yaml")).map((d) => d.toJS());
    expect(scaled.spec.scaleTargetRef).toEqual({ kind: "Deployment", name: "polygym-worker" });
    expect(scaled.spec.triggers).toHaveLength(2);
    for (const { metadata, authenticationRef } of scaled.spec.triggers) {
      expect(authenticationRef).toEqual({ name: "polygym-viewer" });
      const { pathname } = new URL(metadata.url);
      expect(routes).toContain(`GET ${pathname}`);
      const { body } = await call(lab, viewer, "GET", pathname);
      const value = metadata.valueLocation.split(".").reduce((node: Loose, name: string) => node?.[name], body);
      expect(value, metadata.valueLocation).toEqual(expect.any(Number));
    }
  });

  /** Series of /metrics by name, with the labels that they may have. */
  async function series(): Promise<Map<string, readonly string[]>> {
    const { text: exposed } = await call(lab, await lab.token("viewer"), "GET", "/metrics");
    const known = new Map<string, readonly string[]>();
    for (const [, name = "", type] of exposed.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
      const labels = labelsOf(name);
      if (type === "histogram") {
        known.set(`${name}_bucket`, [...labels, "le"]);
        for (const part of ["sum", "count"]) known.set(`${name}_${part}`, labels);
      } else known.set(name, labels);
    }
    return known;
  }

  /** From the place where they are declared: a metric without a value yet shows none. */
  function labelsOf(name: string): string[] {
    const source = readFileSync(join(root, "platform/metrics.ts"), "utf8");
    const declared = new RegExp(`"${name.replace("polygym_", "")}",[^[]*\\[([^\\]]*)\\]`).exec(source)?.[1] ?? "";
    return [...declared.matchAll(/"(\w+)"/g)].map((match) => match[1] ?? "");
  }

  /** What Prometheus adds to every series of a target. */
  const TARGET_LABELS = ["job", "instance"];

  function check(expr: string, known: Map<string, readonly string[]>): void {
    const names = [...expr.matchAll(/\b(polygym_\w+|up)\b(?:\{([^}]*)\})?/g)];
    expect(names.length, expr).toBeGreaterThan(0);
    const allowed = new Set(TARGET_LABELS);
    for (const [, name = "", matchers = ""] of names) {
      if (name !== "up") expect([...known.keys()], expr).toContain(name);
      for (const label of known.get(name) ?? []) allowed.add(label);
      for (const [, label = ""] of matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"/g))
        expect([...(known.get(name) ?? []), ...TARGET_LABELS], `${label} in ${expr}`).toContain(label);
    }
    for (const [, labels = ""] of expr.matchAll(/\bby \(([^)]*)\)/g))
      for (const label of labels.split(",")) expect([...allowed], expr).toContain(label.trim());
    const depth = [...expr].reduce((open, char) => open + (char === "(" ? 1 : char === ")" ? -1 : 0), 0);
    expect(depth, expr).toBe(0);
  }

  test("every alert is about metrics that /metrics has, and says what to do", async () => {
    const known = await series();
    const rules: Loose[] = valuesUnder(parse(text("prometheus/alerts.yml")), "rules").flat();
    expect(rules.length).toBeGreaterThan(8);
    for (const { alert, expr, labels, annotations } of rules) {
      check(expr, known);
      expect(alert).toMatch(/^Polygym[A-Z]\w+$/);
      expect(["page", "warn"]).toContain(labels.severity);
      expect(Object.keys(annotations).sort()).toEqual(["action", "summary"]);
    }
    const config: Loose = parse(text("prometheus/prometheus.yml"));
    for (const file of config.rule_files) expect(existsSync(resolve(folder, "prometheus", file))).toBe(true);
    expect(routes).toContain(`GET ${config.scrape_configs[0].metrics_path}`);
  });

  test("every panel of the dashboard shows metrics that /metrics has, from the chosen data source", async () => {
    const known = await series();
    const dashboard: Loose = JSON.parse(text("grafana/polygym.json"));
    const panels = dashboard.panels.filter((panel: Loose) => panel.type !== "row");
    expect(panels.length).toBeGreaterThan(15);
    expect(new Set(dashboard.panels.map((panel: Loose) => panel.id)).size).toBe(dashboard.panels.length);
    for (const panel of panels) {
      expect(panel.targets.length, panel.title).toBeGreaterThan(0);
      for (const { expr, datasource } of panel.targets) {
        check(expr, known);
        expect(datasource).toEqual({ type: "prometheus", uid: `\${${dashboard.templating.list[0].name}}` });
      }
    }
    const provider: Loose = parse(text("grafana/dashboards.yaml")).providers[0];
    const mounts: string[] = parse(text("compose.yaml"), { merge: true }).services.grafana.volumes;
    const shown = mounts.map((mount) => mount.split(":")[1] ?? "");
    expect(shown.map((path) => dirname(path))).toContain(provider.options.path);
  });
});
