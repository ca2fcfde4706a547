// How many connections to the database the backend has, for the preload, which runs outside this bundle and asks for them.
//
// Upstream keeps its pool to itself; each pool shows itself here when a connection is asked of it.

import { Pool } from "pg";

interface Counts {
  total: number;
  idle: number;
  waiting: number; // requests for a connection
  most: number;
}

const pools = new Set<Pool>();
const { connect } = Pool.prototype;

Pool.prototype.connect = function (this: Pool, ...given: unknown[]): unknown {
  pools.add(this);
  return Reflect.apply(connect, this, given);
} as typeof connect;

function counts(): Counts {
  const sum = (value: (pool: Pool) => number) => [...pools].reduce((all, pool) => all + value(pool), 0);
  return {
    total: sum((pool) => pool.totalCount),
    idle: sum((pool) => pool.idleCount),
    waiting: sum((pool) => pool.waitingCount),
    most: sum((pool) => pool.options.max ?? 10),
  };
}

Reflect.set(globalThis, Symbol.for("metamcp-deploy.pool-counts"), counts);
