import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { minify } from 'terser';
const gz=(t)=>gzipSync(t,{level:9}).length;
let t=readFileSync('/tmp/w/v18base.js','utf8');
console.log('base',gz(t));
// D: drop declarations
let u=t.replace(/#([a-z])/g,'$$$1').replace(/\{((\$[a-z];)+)/g,'{').replace(/\}((\$[a-z];)+)/g,'}');
console.log('no private',u.length,gz(u));
const words='seqnum sack status created you_close_it comment claim_tag compressed extension renewal welcome refusal binary string text deliverable duplicate violation conflict overflow progress waiting deliver acked write'.split(' ');
let v=t, n=0; for(const w of words){ v=v.replaceAll(`"${w}"`,`${++n}`); } console.log('strings',gz(v));
let w2=u; n=0; for(const w of words){ w2=w2.replaceAll(`"${w}"`,`${++n}`); } console.log('both',gz(w2));
for (const o of [{passes:4},{passes:4,unsafe:true},{passes:4,keep_fargs:false},{passes:6,unsafe:true,unsafe_arrows:true,unsafe_methods:true,pure_getters:true,keep_fargs:false,hoist_props:true},{passes:4,hoist_vars:false,reduce_funcs:false},{passes:4,inline:1},{passes:4,inline:0},{passes:4,inline:2},{passes:4,sequences:false},{passes:4,reduce_vars:false},{passes:4,collapse_vars:false},{passes:4,conditionals:false},{passes:4,if_return:false}]) {
 try{ const r=await minify(w2,{module:true,compress:{ecma:2022,...o},mangle:true,format:{ecma:2022}}); console.log(JSON.stringify(o),gz(r.code)); }catch(e){console.log(o,e.message)}
}
