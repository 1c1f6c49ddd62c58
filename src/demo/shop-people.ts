/** What people of one region are called and where they live. All of it is made up from ordinary words. */
export interface Region {
  /** ISO 3166 code; two letters. */
  readonly country: string;
  /** How many of a hundred customers live here; the weights of all regions add up to 100. */
  readonly weight: number;
  readonly currency: string;
  /** Digits after the point that this currency is written with. */
  readonly decimals: number;
  readonly dialling: string;
  readonly given: readonly string[];
  readonly family: readonly string[];
  readonly streets: readonly string[];
  readonly cities: readonly string[];
}

const words = (text: string): readonly string[] => text.split('|');

/** Regions whose names cover the scripts that a migration usually breaks: right to left, 4-byte, combining, one-word. */
export const regions: readonly Region[] = [
  {
    country: 'DE',
    weight: 18,
    currency: 'EUR',
    decimals: 2,
    dialling: '+49',
    given: words('Jürgen|Änne|Kerstin|Björn|Ute|Lukas|Greta|Karl-Heinz|Mia|Özlem'),
    family: words('Müller|Weiß|von der Heide|Groß|Schäfer|Köhler-Böhm|Vogel|Yıldız|Straßer'),
    streets: words('Lindenstraße|Am Mühlbach|Goethestr.|Schloßallee|Hinter den Höfen'),
    cities: words('Köln|München|Görlitz|Fürth|Düsseldorf|Lübeck'),
  },
  {
    country: 'US',
    weight: 16,
    currency: 'USD',
    decimals: 2,
    dialling: '+1',
    given: words('Olivia|Noah|Zoë|José|Mary Ann|D’Angelo|Renée|Liam|Beyoncé|Ty'),
    family: words(
      "O'Brien|Smith|de la Cruz|McAllister|Null|Nguyen|García|True|Johnson Jr.|Van Dyke",
    ),
    streets: words('Main St|5th Ave, Apt. 4"B"|Elm Street|Rte 66|O\'Farrell St|C:\\Temple Rd'),
    cities: words('San José|Coeur d’Alene|Albuquerque|Cañon City|Boise|Truth or Consequences'),
  },
  {
    country: 'FR',
    weight: 8,
    currency: 'EUR',
    decimals: 2,
    dialling: '+33',
    given: words('Zoé|François|Maëlys|Anaïs|Loïc|Jean-Noël|Hélène'),
    family: words('Lefèvre|d’Aboville|Français|Œuvrard|L’Haÿ|Cœur|Nuñes'),
    streets: words('Rue de l’Église|Bd. Haussmann|Allée des Érables|Place du Cœur'),
    cities: words('L’Haÿ-les-Roses|Besançon|Saint-Étienne|Nîmes|Y'),
  },
  {
    country: 'PL',
    weight: 7,
    currency: 'PLN',
    decimals: 2,
    dialling: '+48',
    given: words('Łucja|Paweł|Żaneta|Grażyna|Zbigniew|Świętosława'),
    family: words('Wąsik|Źródło|Ćwikła|Nowak|Brzęczyszczykiewicz|Żółć'),
    streets: words('ul. Świętokrzyska|ul. Łąkowa|al. Jerozolimskie|ul. Źródlana'),
    cities: words('Łódź|Gdańsk|Kraków|Wrocław|Świnoujście'),
  },
  {
    country: 'GR',
    weight: 5,
    currency: 'EUR',
    decimals: 2,
    dialling: '+30',
    given: words('Αθηνά|Γιώργος|Ευφροσύνη|Οδυσσέας|Χρύσα'),
    family: words('Παπαδόπουλος|Οικονόμου|Ξένου|Αγγελής'),
    streets: words('Ερμού|Λεωφόρος Συγγρού|Αριστοτέλους'),
    cities: words('Αθήνα|Θεσσαλονίκη|Πάτρα|Ηράκλειο'),
  },
  {
    country: 'UA',
    weight: 6,
    currency: 'UAH',
    decimals: 2,
    dialling: '+380',
    given: words('Олександр|Ївга|Соломія|Тарас|Їжакевич|Ярина'),
    family: words('Шевченко|Ґалаґан|Їжак|Коваль|Подоляк'),
    streets: words('вул. Хрещатик|просп. Перемоги|вул. Лесі Українки'),
    cities: words('Київ|Львів|Одеса|Харків|Запоріжжя'),
  },
  {
    country: 'JP',
    weight: 9,
    currency: 'JPY',
    decimals: 0,
    dialling: '+81',
    given: words('花子|太郎|さくら|ケンジ|凛|陽翔|𠮷男'),
    family: words('山田|𠮷野|髙橋|渡邊|齋藤|小鳥遊'),
    streets: words('千代田1-1|道玄坂2丁目|四条通|𣘺本町|天神3丁目4−5'),
    cities: words('東京都|大阪市|京都市|札幌市|那覇市'),
  },
  {
    country: 'CN',
    weight: 6,
    currency: 'CNY',
    decimals: 2,
    dialling: '+86',
    given: words('王秀英|李小龙|张伟|欧阳娜娜|刘洋|𡈽屋'),
    family: [],
    streets: words('南京东路|长安街|中山路|人民大道'),
    cities: words('北京|上海|成都|哈尔滨|乌鲁木齐'),
  },
  {
    country: 'KR',
    weight: 4,
    currency: 'KRW',
    decimals: 0,
    dialling: '+82',
    given: words('민준|서연|하은|도윤|지우'),
    family: words('김|이|박|최|황보'),
    streets: words('세종대로|테헤란로|해운대로'),
    cities: words('서울|부산|대구|제주'),
  },
  {
    country: 'EG',
    weight: 6,
    currency: 'EGP',
    decimals: 2,
    dialling: '+20',
    given: words('فاطمة|محمد|عبد الرحمن|نور|ياسمين|مُحَمَّد'),
    family: words('حسن|السيد|النجار|إبراهيم|عبد‌الله'),
    streets: words('شارع التحرير|شارع الهرم|كورنيش النيل'),
    cities: words('القاهرة|الإسكندرية|الجيزة|أسوان'),
  },
  {
    country: 'IL',
    weight: 4,
    currency: 'ILS',
    decimals: 2,
    dialling: '+972',
    given: words('נועה|דוד|יעל|אברהם|שׁוֹשַׁנָּה'),
    family: words('כהן|לוי|בן־דוד|מזרחי'),
    streets: words('רחוב הרצל|שדרות רוטשילד|דרך יפו'),
    cities: words('תל אביב-יפו|ירושלים|חיפה'),
  },
  {
    country: 'IN',
    weight: 7,
    currency: 'INR',
    decimals: 2,
    dialling: '+91',
    given: words('आरव|प्रिया|अनन्या|தமிழ்செல்வி|கார்த்திக்|রবি'),
    family: words('शर्मा|पटेल|सिंह|முருகன்|চট্টোপাধ্যায়'),
    streets: words('महात्मा गांधी मार्ग|அண்ணா சாலை|পার্ক স্ট্রিট'),
    cities: words('मुंबई|दिल्ली|சென்னை|কলকাতা'),
  },
  {
    country: 'TH',
    weight: 2,
    currency: 'THB',
    decimals: 2,
    dialling: '+66',
    given: words('สมชาย|กัญญา|ปิยะ'),
    family: words('ใจดี|ศรีสุข|วงศ์ใหญ่'),
    streets: words('ถนนสุขุมวิท|ถนนพระราม ๔'),
    cities: words('กรุงเทพมหานคร|เชียงใหม่'),
  },
  {
    country: 'AQ',
    weight: 2,
    currency: 'EUR',
    decimals: 2,
    dialling: '+672',
    given: words('🐧|Sky 🏳️‍🌈|👩‍🚀 Ada|𝒵𝓸𝓮|Zoe\u0308|Ragnarr ᚱᚨᚷᚾ'),
    family: words('Frost ❄️|👨‍👩‍👧‍👦|Ísbjörn|𐍅𐌿𐌻𐍆𐌹𐌻𐌰'),
    streets: words('Hut №\u00a07|Penguin Row 🐧|Ice\tShelf'),
    cities: words('McMurdo|Villa Las Estrellas ⭐|Σταθμός 👋🏽'),
  },
];

/** Notes of a shop's clerks: quotes, line breaks, the NULL marks of dump formats, blanks that must stay. */
export const notes: readonly string[] = [
  'prefers e-mail',
  'VIP 💎 – call before 9',
  'said "never again", came back twice',
  'ring twice;\nleave with the neighbour',
  "don't ship to the old address",
  '\\N',
  'NULL',
  '',
  ' padded ',
  'back\\slash and {braces} and "quotes"',
  '注意：午前中のみ',
  'مهم: الاتصال مساءً',
  '🎉🎉🎉 100th order',
  'a\tb',
  'Größe XL — 50 % off',
  'e\u0301 is not \u00e9',
];
