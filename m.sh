LINEAGE_RUNS=${1:-2000} npx tap --disable-coverage test/model/lineage.test.ts 2>&1 | grep -v "^ *at:" | sed -n '/what is lost/,/---/p' | cut -c1-400 | head -${2:-70}
