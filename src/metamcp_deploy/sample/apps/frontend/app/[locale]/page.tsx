import Link from "next/link";

const words = {
  en: { hello: "The sample gateway is running.", endpoints: "Endpoints", login: "Sign in" },
  zh: { hello: "示例网关正在运行。", endpoints: "端点", login: "登录" },
};

export function generateStaticParams() {
  return Object.keys(words).map((locale) => ({ locale }));
}

export default async function Home({ params }: { params: Promise<{ locale: string }> }) {
  const { locale } = await params;
  const say = locale === "zh" ? words.zh : words.en;
  return (
    <main lang={locale}>
      <h1>
        <img src="/mark.svg" alt="" width={32} height={32} /> MetaMCP sample
      </h1>
      <p>{say.hello}</p>
      <p>
        <Link href={`/${locale}/endpoints`}>{say.endpoints}</Link>{" · "}
        <Link href={`/${locale}/login`}>{say.login}</Link>
      </p>
    </main>
  );
}
