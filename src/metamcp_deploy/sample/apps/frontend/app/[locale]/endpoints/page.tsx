"use client";

import { useEffect, useState } from "react";

type Endpoint = { name: string; namespace: string; endpoints: { mcp: string } };

export default function Endpoints() {
  const [rows, setRows] = useState<Endpoint[] | null>(null);
  const [problem, setProblem] = useState("");

  useEffect(() => {
    fetch("/metamcp")
      .then((response) => (response.ok ? response.json() : Promise.reject(new Error(`${response.status}`))))
      .then((body: { endpoints: Endpoint[] }) => setRows(body.endpoints))
      .catch((error: Error) => setProblem(`The endpoints cannot be listed: ${error.message}`));
  }, []);

  return (
    <main>
      <h1>Endpoints</h1>
      <p role="alert">{problem}</p>
      {rows?.length === 0 && <p>None yet.</p>}
      <ul>
        {rows?.map((row) => (
          <li key={row.name}>
            {row.name} ({row.namespace}): <code>{row.endpoints.mcp}</code>
          </li>
        ))}
      </ul>
    </main>
  );
}
