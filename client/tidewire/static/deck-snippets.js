/*! The Tidewire deck, Apache-2.0; built from client/chart, do not edit. */
import{h as o,q as w,r as p}from"./deck.js";const d="furnace/temperature",l=t=>[t,"word"],c=t=>[t,"string"],i=t=>[t,"plain"];function f({snippet:t,status:e}){return[t?.url||e?.service||"http://127.0.0.1:8000",t?.redis||"redis://127.0.0.1:6379"]}function $(t,e,n=[d,d,d]){const[a,r,s]=n;return[{name:"Python",lines:[[l("from"),i(" tidewire "),l("import"),i(" Publisher")],[i("publisher = Publisher("),c(`"${t}"`),i(")")],[i("publisher.publish("),c(`"${a}"`),i(", 921.4, unit="),c('"Cel"'),i(")")]]},{name:"curl",lines:[[l("curl"),i(` ${t}/v1/readings \\`)],[i("  -H "),c("'Content-Type: application/json'"),i(" \\")],[i("  -d "),c(`'{"metric":"${r}","value":[921.4],"unit":"Cel"}'`)]]},{name:"redis-cli",lines:[[l("redis-cli"),i(` -u ${e} \\`)],[i(`  PUBLISH tw:in:${s} 921.4`)]]}]}function g(t){return t.lines.map(e=>e.map(([n])=>n).join("")).join(`
`)}const v=t=>t.map(([e,n])=>o("span",{class:`code-${n}`},e));function T(t,e=()=>{}){const n=o("span",{},"Copy"),a=async()=>{e();try{await navigator.clipboard.writeText(t()),p(n,"Copied")}catch{p(n,"Select it and copy")}window.setTimeout(()=>p(n,"Copy"),2e3)};return o("button",{type:"button",class:"button","data-tw":"copy-snippet",onclick:()=>{a()}},w("copy",14),n)}function S(t,e){const{hostname:n,protocol:a,port:r}=new URL(t),s=a==="https:",u=r||(s?"443":"80"),h=[["Node, Deno or a page: anything that speaks HTTP",`await fetch("${t}/v1/readings", {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ metric: "line-1/flow", value: [12.5], unit: "L/min", labels: { site: "A" } }),
});`],["Any Redis client; kept until the service reads it",`redis-cli -u ${e} XADD tw:in '*' metric line-1/flow value 12.5 unit L/min`],["A CSV file: columns metric, time, value, unit; all others are labels",`curl ${t}/v1/readings -H 'Content-Type: text/csv' --data-binary @readings.csv`],["A recorded file, replayed as if it were live",`tidewire replay readings.csv --speed 10 --to ${t}`],["CPU, memory, disk and network of a machine",`tidewire host --to ${t}`],["Telegraf, with all that it collects",`[[outputs.influxdb]]
  urls = ["${t}"]
  database = "any"
  username = "any"
  password = "TOKEN"`],["Home Assistant: each entity with its unit",`influxdb:
  api_version: 1
  host: ${n}
  port: ${u}
  ssl: ${s}
  username: any
  password: TOKEN`],["Proxmox, Glances and other clients of InfluxDB; any database or bucket will do",`curl ${t}/write -H 'Authorization: Token TOKEN' \\
  --data-binary 'furnace,site=A temperature=921.4'`],["Scripts that push to a Prometheus Pushgateway",`echo "backup_seconds 12.5" | curl --data-binary @- ${t}/metrics/job/backup`]],y=o("a",{class:"link",href:`${t}/schema`,target:"_blank",rel:"noopener"},"All of the service's routes, with their formats");return o("div",{class:"ways"},...h.flatMap(([m,b])=>[o("h3",{},m),o("pre",{class:"code",tabindex:"0"},b)]),y)}function O(t,e,n){const a=[...new Set(t.map(({metric:s})=>s))],r=t.length===1&&Object.keys(t[0].labels).length>0?[`    labels=${k(t[0].labels)},`]:[];return["import tidewire","","readings = tidewire.history(",...a.map(s=>`    ${JSON.stringify(s)},`),`    start="${new Date(e.startMs).toISOString()}",`,`    end="${new Date(e.endMs).toISOString()}",`,...r,`    url=${JSON.stringify(n)},`,")",'readings.groupby("metric")["value"].describe()',""].join(`
`)}function k(t){return`{${Object.entries(t).map(([e,n])=>`${JSON.stringify(e)}: ${JSON.stringify(n)}`).join(", ")}}`}export{$ as a,g as b,T as c,v as l,S as o,O as p,f as s};
