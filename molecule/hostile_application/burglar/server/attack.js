// What the application does where it is run apart from its unit (`prepare`, `migrate`): it looks around, and writes down what
// it could do, in the release while that is prepared, else in its state folder.
import { execFileSync } from "node:child_process";
import { appendFileSync } from "node:fs";

const [, , where] = process.argv;
const folder = where === "prepare" ? process.cwd() : process.env.STATE_DIRECTORY;
const script = `
  echo "is $(id -un)"
  for file in /etc/shadow /etc/gatehouse/burglar.secrets.env /etc/ssl/gatehouse /root; do
    (ls "$file/" || cat "$file") >/dev/null 2>&1 && echo "reads $file"
  done
  for folder in / /etc /usr /run /run/lock /srv/burglar /srv/burglar/releases /var/lib/burglar /var/log; do
    touch "$folder/planted" 2>/dev/null && echo "writes $folder"
  done
  unshare --user true 2>/dev/null && echo "makes namespaces"
  grep -q '00000000:0016' /proc/net/tcp && echo "sees the host's network"
  true
`;
appendFileSync(`${folder}/seen-${where}`, execFileSync("/bin/sh", ["-c", script]));
if (where === "prepare") {
  // What is prepared becomes root's: also what was made for others to change.
  const environment = "printf 'LD_DEBUG=libs\\nLD_DEBUG_OUTPUT=/etc/planted\\n' >> release.env && touch planted-environment";
  execFileSync("/bin/sh", ["-c", environment]);
  execFileSync("/bin/sh", ["-c", "ln -s /etc/shadow planted-link; touch planted; chmod 6777 planted 2>/dev/null || chmod 777 planted"]);
}
