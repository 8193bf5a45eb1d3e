/*! The Tidewire deck, Apache-2.0; built from client/chart, do not edit. */
import{L as r,N as l,O as i}from"./deck.js";const e=100,s=366*864e5,f=o=>Math.min(s,o??s);function m(o,t){const a=o>e?`${r(e,0)} of ${l(o,"series","series")}`:"",n=(t??1/0)>s?`the last ${i(s)}`:"";return[a,n].filter(Boolean).join(", ")}export{e as M,m as a,f as l};
