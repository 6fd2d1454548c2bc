// The built page. A release's files all have one fixed modification time (its archive is reproducible), so the usual
// ETag of time and size could call two releases the same: here it is the content's own hash.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import express from "express";

const IMMUTABLE = "public, max-age=31536000, immutable";
const REVALIDATE = "public, no-cache";

/** Middleware that serves every file below `folder` (a file: URL). */
export function staticFiles(folder) {
  const root = fileURLToPath(folder);
  const etags = new Map(
    readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
      .map((file) => [file, `"${createHash("sha256").update(readFileSync(file)).digest("hex").slice(0, 32)}"`]),
  );
  const assets = join(root, "assets");
  return express.static(root, {
    etag: false,
    lastModified: false,
    cacheControl: false,
    setHeaders(response, file) {
      response.setHeader("ETag", etags.get(file));
      response.setHeader("Cache-Control", file.startsWith(assets) ? IMMUTABLE : REVALIDATE);
    },
  });
}
