// Makes a passkey, or signs in by one: the browser allows neither without a script. A form says which by data-passkey, and by
// data-options where the options come from, and by data-unable and so on what to say, in the reader's language. The answer is sent by the
// form itself.
"use strict";

async function answered(form) {
  const asked = await fetch(form.dataset.options, { method: "POST", body: new URLSearchParams(new FormData(form)) });
  if (!asked.ok) throw new Error("not asked");
  const options = await asked.json();
  if (form.dataset.passkey === "make") {
    return navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) });
  }
  return navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
}

function sentence(error, said) {
  if (error.name === "InvalidStateError") return said.known;
  return error.message === "not asked" ? said.notAsked : said.notDone;
}

async function send(event) {
  event.preventDefault();
  const form = event.target;
  const problem = form.querySelector("[role=alert]");
  problem.textContent = "";
  if (!window.PublicKeyCredential || !PublicKeyCredential.parseRequestOptionsFromJSON) {
    problem.textContent = form.dataset.unable;
    return;
  }
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const answer = await answered(form);
    form.elements.answer.value = JSON.stringify(answer.toJSON());
    form.submit();
  } catch (error) {
    problem.textContent = sentence(error, form.dataset);
    button.disabled = false;
  }
}

for (const form of document.querySelectorAll("form[data-passkey]")) form.addEventListener("submit", send);
