// Around upstream's own Next configuration: what `next build` makes depends on the sources alone, not on the folder they
// are in. Next's module ids, chunk ids and names of files come from texts with the folder in them (plain in the code
// that its loaders write, %2F-encoded in their queries); here the folder is taken out before anything is derived.
// Checked with Next 15.3.0, 15.4.8, 15.5.2 and 15.5.12, which are all that the supported releases use.

import { createHash } from "node:crypto";
import { realpathSync } from "node:fs";
import path from "node:path";
import process from "node:process";

const NAME = "metamcp-deploy";
const PLACE = "/metamcp";
const DEPENDENCY = /[\\/]node_modules[\\/]/;
// Of the form Next makes them, and public: `pack` puts in the id of the release's sources, the launcher real keys.
const BUILD_ID = "metamcp0deploy0build0";
// Next traces which files a server could load; the compiler is the largest by far, and no release holds it (prune.py).
const NOT_TRACED = { "next-server": ["**/node_modules/typescript/**"] };
const ACTIONS_KEY = Buffer.alloc(32, 4).toString("base64");

/** The configuration that is built with, from what upstream's file exports; with `sourceMaps`, those of the server too. */
export function reproducible(upstream, { sourceMaps = false } = {}) {
  process.env.NEXT_SERVER_ACTIONS_ENCRYPTION_KEY = ACTIONS_KEY; // also a salt of the names of server actions
  return async (phase, context) => {
    const own = typeof upstream === "function" ? await upstream(phase, context) : await upstream;
    const { webpack, experimental } = own;
    return {
      ...own,
      // The checks do not change the output (see checks.py) and take a quarter of the build's processor time.
      eslint: { ...own.eslint, ignoreDuringBuilds: true },
      typescript: { ...own.typescript, ignoreBuildErrors: true },
      outputFileTracingExcludes: own.outputFileTracingExcludes ?? NOT_TRACED,
      generateBuildId: () => BUILD_ID,
      // Next compiles in processes of its own unless a configuration has a `webpack`: this one minds neither.
      experimental: {
        ...experimental,
        webpackBuildWorker: experimental?.webpackBuildWorker ?? !webpack,
        // The minifier's maps differ each time, too; and a trace has the functions' own names without it.
        ...(sourceMaps && { serverSourceMaps: true, serverMinification: false }),
      },
      webpack(config, options) {
        const made = webpack ? webpack(config, options) : config;
        made.optimization = { ...made.optimization, moduleIds: false, chunkIds: false };
        made.plugins.push(new Placeless(path.resolve(options.dir, "../..")));
        return made;
      },
    };
  };
}

class Placeless {
  constructor(root) {
    const folders = [...new Set([root, realpathSync(root)])].sort((a, b) => b.length - a.length);
    this.texts = folders.flatMap((folder) => [[folder, PLACE], [encodeURIComponent(folder), encodeURIComponent(PLACE)]]);
  }

  apply(compiler) {
    compiler.hooks.compilation.tap(NAME, (compilation) => {
      compilation.hooks.finishModules.tap(NAME, (modules) => this.#loaded(compilation, modules));
      compilation.hooks.moduleIds.tap(NAME, (modules) => this.#modules(compilation, modules));
      compilation.hooks.chunkIds.tap(NAME, (chunks) => this.#chunks(compilation, chunks));
      // Before scripts are minified, and again for the manifests that are made of them, which name the same places.
      for (const when of ["OPTIMIZE", "REPORT"]) {
        const stage = compiler.webpack.Compilation[`PROCESS_ASSETS_STAGE_${when}`];
        compilation.hooks.processAssets.tap({ name: NAME, stage }, () => this.#assets(compilation));
      }
    });
  }

  #without(text) {
    return this.texts.reduce((rest, [folder, place]) => rest.replaceAll(folder, place), text);
  }

  /**
   * What loaders wrote with the folder in it: the hash of the code, which names of files are made from, is computed as
   * NormalModule does; and a source map knows nothing of it, for columns in text that nobody has would differ.
   */
  #loaded({ outputOptions, compiler }, modules) {
    const { RawSource } = compiler.webpack.sources;
    for (const module of modules) {
      const code = module.originalSource?.()?.source();
      if (typeof code !== "string" || !module.buildInfo?.hash) continue;
      const placeless = this.#without(code);
      // Source maps of packages, put together from their own, come out in other ways each time.
      if (placeless !== code || DEPENDENCY.test(module.resource)) module._source = new RawSource(code);
      if (placeless === code) continue;
      const hash = compiler.webpack.util.createHash(outputOptions.hashFunction);
      module.buildInfo.hash = hash.update(placeless).update(JSON.stringify(module.buildMeta)).digest("hex");
    }
  }

  #modules({ chunkGraph }, modules) {
    const all = [...modules].filter((m) => m.needId && chunkGraph.getNumberOfModuleChunks(m) > 0);
    const used = new Set(all.map((m) => chunkGraph.getModuleId(m)).filter((id) => id !== null).map(String));
    const unnamed = all.filter((m) => chunkGraph.getModuleId(m) === null);
    this.#number(unnamed, (m) => this.#nameOf(m), used, (m, id) => chunkGraph.setModuleId(m, id));
  }

  #chunks({ chunkGraph }, chunks) {
    const all = [...chunks];
    const used = new Set(all.map((chunk) => chunk.id).filter((id) => id !== null).map(String));
    const nameOf = (chunk) =>
      chunk.name ?? Array.from(chunkGraph.getChunkModules(chunk), (m) => this.#nameOf(m)).sort().join("\n");
    this.#number(all.filter((chunk) => chunk.id === null), nameOf, used, (chunk, id) => {
      chunk.id = id;
      chunk.ids = [id];
    });
  }

  #nameOf(module) {
    // What several modules became by concatenation is named by a hash of places; its first module is as good a name.
    return this.#without((module.rootModule ?? module).identifier());
  }

  /** The minifier of Next 15.3 chooses short names by how often a letter stands in a script, the folder's counted. */
  #assets(compilation) {
    const { ReplaceSource } = compilation.compiler.webpack.sources;
    for (const { name, source } of compilation.getAssets()) {
      const code = source.source();
      const places = typeof code === "string" ? [...this.#places(code)] : [];
      if (places.length === 0) continue;
      const changed = new ReplaceSource(source); // keeps source maps right
      for (const [start, end, text] of places) changed.replace(start, end - 1, text);
      compilation.updateAsset(name, changed);
    }
  }

  /** Where the folder stands in a text, and what belongs there: [start, end, text]. */
  *#places(text) {
    for (let from = 0; ; ) {
      const found = this.texts
        .map(([folder, place]) => ({ start: text.indexOf(folder, from), folder, place }))
        .filter(({ start }) => start >= 0)
        .sort((one, other) => one.start - other.start)[0];
      if (!found) return;
      from = found.start + found.folder.length;
      yield [found.start, from, found.place];
    }
  }

  /** Numbers as short as webpack's own: from a hash of the name, the next one where that is taken. */
  #number(things, nameOf, used, assign) {
    const range = Math.max(1_000, 10 ** Math.ceil(Math.log10(things.length * 5 + 1)));
    const named = things.map((thing) => [nameOf(thing), thing]);
    for (const [name, thing] of named.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))) {
      let id = createHash("sha256").update(name).digest().readUIntBE(0, 6) % range;
      while (used.has(String(id))) id = (id + 1) % range;
      used.add(String(id));
      assign(thing, id);
    }
  }
}
