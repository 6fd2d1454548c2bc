// Writes down that it ran, and with what it knew; fails in a version with the name -migration.
import { appendFileSync } from "node:fs";

const { APP_NAME, APP_RELEASE, SHOP_TOKEN, STATE_DIRECTORY } = process.env;
if (APP_RELEASE.includes("-migration-")) {
  console.error("the migration cannot add the column");
  process.exit(1);
}
appendFileSync(`${STATE_DIRECTORY}/migrations`, `${APP_NAME} ${APP_RELEASE} ${SHOP_TOKEN ? "secret" : "no secret"}\n`);
